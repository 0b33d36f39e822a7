"""Where nothing meets the objective the answer names the bound and what comes nearest."""

from __future__ import annotations

from typing import Any

from advisor.search.found import Entry, Found
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.why.words import summary_of
from tests.questions import question


def asked(**objective: Any) -> tuple[Question, Found]:
    one = question(objective=objective, search={"requests": 200})
    return one, search(one)


def nearest(found: Found) -> Entry:
    assert found.best is None
    assert found.nearest is not None
    return found.nearest


def test_a_limit_below_what_one_request_takes_is_named_with_what_it_takes() -> None:
    one, found = asked(slos=[{"metric": "ttft", "percentile": 90, "limit": "1ms"}])
    option = nearest(found).option
    tried = [e for e in found.entries if e.sized is not None and not e.option.is_reference]
    assert nearest(found).sized is not None
    assert min(e.sized.trial.excess for e in tried if e.sized) == nearest(found).sized.trial.excess  # type: ignore[union-attr]  # said the line before
    text = summary_of(one, found)
    assert "the limit that makes it impossible: TTFT p90 of requests alone on an idle replica is" in text
    assert option.reason in text


def test_every_limit_that_one_request_breaks_is_named_and_what_the_nearest_costs() -> None:
    tight = [{"metric": name, "percentile": 90, "limit": "1ms"} for name in ("ttft", "tpot")]
    one, found = asked(slos=tight, budget="0.5 USD/h")
    text = summary_of(one, found)
    assert "TTFT p90 of requests alone on an idle replica is" in text
    assert ", and TPOT p90 of requests alone on an idle replica is" in text
    assert f"for {nearest(found).option.usd_per_hour:.2f} USD/h" in text


def test_where_only_the_budget_is_too_small_the_cheapest_that_holds_is_named_with_its_price() -> None:
    one, found = asked(preset="chat", budget="0.5 USD/h")
    option = nearest(found).option
    assert option.usd_per_hour is not None
    dear = [
        e.option.usd_per_hour
        for e in found.entries
        if e.option.bound == "budget" and not e.option.is_reference
    ]
    assert option.usd_per_hour == min(price for price in dear if price is not None)
    text = summary_of(one, found)
    assert "The budget makes it impossible: the cheapest that meets every limit is" in text
    assert f"for {option.usd_per_hour:.2f} USD/h" in text
