"""The paragraph says what the ranking says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.search.found import Found
from advisor.search.ranking import search
from advisor.spec.objective import Metric, Objective
from advisor.spec.quantities import told_apart
from advisor.why.words import next_steps, objective_words, summary_of
from tests.questions import question


@pytest.mark.parametrize(
    ("value", "limit", "texts"),
    [
        (189.2, 200.0, ("189", "200")),
        (200.4, 200.0, ("200.4", "200")),
        (200.0, 200.0, ("200", "200")),
        (200.0004, 200.0, ("200.000", "200")),
        (1234.5, 1200.0, ("1,234", "1,200")),
        (0.12, 0.5, ("0", "0.5")),
    ],
)
def test_two_numbers_that_differ_read_differently(value: float, limit: float, texts: tuple[str, str]) -> None:
    assert told_apart(value, limit) == texts


def test_the_first_token_comes_first_in_the_objective() -> None:
    raw = {"preset": "chat", "slos": [{"metric": "ttft", "percentile": 90, "limit": "200ms"}]}
    own = Objective.model_validate_json(json.dumps(raw))
    assert [slo.metric for slo in own.limits] == [Metric.TTFT, Metric.TPOT]
    assert objective_words(own).endswith("with TTFT p90 ≤ 200 ms, TPOT p99 ≤ 50 ms")


def test_the_paragraph_has_the_recommended_options_figures() -> None:
    asked = question(speculation={"drafts": [{"method": "ngram"}]})
    found = search(asked)
    assert found.best
    best, text = found.best.option, summary_of(asked, found)
    assert f"{best.devices} x {best.device}" in text
    assert f"{best.usd_per_hour:.2f} USD/h" in text
    for check in best.checks:
        assert f"(limit {check.limit * 1e3:.0f} ms)" in text
    assert "ngram" not in text
    assert all("SCENARIO" in step or "lora (" not in step for step in next_steps(found))


def option_like(**changes: Any) -> Any:
    fields = {
        "way": "merged",
        "bound": "",
        "usd_per_hour": 10.0,
        "devices": 4,
        "device": "A",
        "feasible": True,
    }
    return SimpleNamespace(option=SimpleNamespace(**{**fields, **changes}))


def test_a_cheaper_device_whose_sizing_stopped_is_not_hidden() -> None:
    from advisor.why.words import _not_enough

    dear = option_like(usd_per_hour=270.0, devices=40, device="B")
    short = option_like(usd_per_hour=160.0, devices=40, device="H", bound="replicas", feasible=False)
    found = Found((dear, short), 0, 0)
    assert _not_enough(found, dear.option) == "; 40 x H for 160.00 USD/h are not enough"
    assert _not_enough(Found((dear,), 0, 0), dear.option) == ""
