"""A custom draft's training is part of the price wherever prices are compared."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.robustness.certainty import certainty_of
from advisor.search.found import Entry, Found
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.spec.speculation import Draft, Training
from advisor.why.words import summary_of
from tests.questions import question

MONTHS = 3.0
HOURS = MONTHS * 8766 / 12


def asked(usd: float | None) -> Question:
    """One way with a custom draft that needs half the replicas, trained for this much."""
    draft: dict[str, Any] = {
        "method": "ngram",
        "custom": True,
        "base_acceptance": {"marginals": [0.9, 0.8, 0.7]},
    }
    if usd is not None:
        draft["training"] = {"usd": usd, "months": MONTHS}
    workload = {
        "kind": "generator",
        "arrivals": {"kind": "poisson", "rate": "40 req/s"},
        "prompt_tokens": {"kind": "fixed", "tokens": 100},
        "output_tokens": {"kind": "fixed", "tokens": 400},
        "duration": "20s",
    }
    search_for = {"ways": ["multi-lora"], "requests": 300}
    objective = {"slos": [{"metric": "tpot", "percentile": 99, "limit": "10ms"}]}
    return question(
        speculation={"drafts": [draft]}, search=search_for, workload=workload, objective=objective
    )


def drafted(found: Found) -> Entry:
    return next(e for e in found.entries if e.option.speculation is not None and not e.option.is_reference)


def plain(found: Found) -> Entry:
    return next(e for e in found.entries if e.option.speculation is None and not e.option.is_reference)


def usd(entry: Entry) -> float:
    assert entry.option.usd_per_hour is not None
    return entry.option.usd_per_hour


@pytest.fixture(scope="module")
def free() -> Found:
    return search(asked(None))


@pytest.fixture(scope="module")
def dear() -> Found:
    return search(asked(0.5 * HOURS))


def test_it_is_added_once_however_many_replicas(free: Found, dear: Found) -> None:
    assert drafted(dear).option.replicas == drafted(free).option.replicas
    assert usd(drafted(dear)) == pytest.approx(usd(drafted(free)) + 0.5)
    assert plain(dear).option.usd_per_hour == 2.0 * plain(dear).option.replicas
    before, after = (drafted(found).option.usd_per_mtok for found in (free, dear))
    assert before is not None
    assert after is not None
    assert after / before == pytest.approx(usd(drafted(dear)) / usd(drafted(free)))


def test_the_summary_says_how_much_of_the_price_it_is(free: Found) -> None:
    one = asked(0.01 * HOURS)
    found = search(one)
    assert "(0.01 of it for the draft's training)" in summary_of(one, found)
    assert "training" not in summary_of(asked(None), free)


def test_a_dear_training_turns_the_choice(dear: Found) -> None:
    gain = usd(plain(dear)) - (usd(drafted(dear)) - 0.5)
    assert gain > 0.5, "the draft must save something, or this test says nothing"
    for share, wins in ((0.9, True), (1.1, False)):
        best = search(asked(share * gain * HOURS)).best
        assert best is not None
        assert (best.option.speculation is not None) is wins


def test_certainty_reckons_with_the_same_price(dear: Found) -> None:
    one = asked(0.5 * HOURS)
    sure = certainty_of(one, dear, draws=5, load_spread=0.1, jobs=1)
    assert sure is not None
    row = next(row for row in sure.spreads if row.name == "USD/h")
    assert dear.best is not None
    assert row.estimate == pytest.approx(usd(dear.best))


def test_training_is_for_custom_drafts() -> None:
    with pytest.raises(ValueError, match="Write custom: true"):
        Draft(method="eagle3", training=Training(usd=1, months=1))
