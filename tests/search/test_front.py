"""The Pareto front of price against each metric."""

from __future__ import annotations

from advisor.recommendation import Option, Percentiles, SloCheck
from advisor.search.front import fronts, metrics_of, value_of
from advisor.spec.objective import Objective, Slo
from tests.faces.example import example

CHAT = Objective(preset="chat")


def _option(key: str, usd: float, ttft_s: float, tpot_s: float, **changes: object) -> Option:
    one = next(option for option in example().options if option.feasible and not option.is_reference)
    assert one.outcome is not None
    latency = {"mean_s": 0.0, "p50_s": 0.0, "p90_s": 0.0, "p95_s": 0.0}
    outcome = one.outcome.model_copy(
        update={
            "ttft": Percentiles(**latency, p99_s=ttft_s),
            "tpot": Percentiles(**latency, p99_s=tpot_s),
        }
    )
    plain = {"key": key, "usd_per_hour": usd, "outcome": outcome, "checks": ()}
    return one.model_copy(update={**plain, **changes})


def test_each_metric_has_a_front_of_its_own() -> None:
    cheap, fast, steady, beaten = (
        _option("cheap", 2.0, 0.3, 0.03),
        _option("fast", 4.0, 0.1, 0.04),
        _option("steady", 5.0, 0.2, 0.01),
        _option("beaten", 6.0, 0.3, 0.03),
    )
    assert fronts((beaten, steady, fast, cheap), CHAT) == {
        "cheap": ("ttft", "tpot"),
        "fast": ("ttft",),
        "steady": ("tpot",),
        "beaten": (),
    }


def test_who_is_as_good_for_more_is_beaten_and_of_equals_the_first_stays() -> None:
    one, twin, dearer = (_option(key, usd, 0.2, 0.02) for key, usd in (("a", 2.0), ("b", 2.0), ("c", 3.0)))
    assert fronts((one, twin, dearer), CHAT) == {"a": ("ttft", "tpot"), "b": (), "c": ()}


def test_what_cannot_be_taken_beats_nobody() -> None:
    broken = _option("broken", 1.0, 0.01, 0.001, feasible=False)
    base = _option("base", 1.0, 0.01, 0.001, is_reference=True)
    free = _option("unpriced", 1.0, 0.01, 0.001, usd_per_hour=None)
    real = _option("real", 2.0, 0.2, 0.02)
    assert fronts((broken, base, free, real), CHAT) == {"real": ("ttft", "tpot")}


def test_metrics_are_those_asked_for_at_the_percentile_asked_for() -> None:
    assert metrics_of(Objective()) == ("ttft", "tpot", "e2e")
    slow = Slo.model_validate_json('{"metric": "e2e", "limit": "1s"}')
    assert metrics_of(Objective(slos=(slow,))) == ("e2e",)
    assert metrics_of(Objective(preset="chat", goodput_share=0.9)) == ("ttft", "tpot", "goodput")
    check = SloCheck(metric="ttft", percentile=90.0, limit=0.2, value=0.15, holds=True)
    assert value_of(_option("one", 2.0, 0.3, 0.03, checks=(check,)), "ttft") == 0.15
    assert value_of(_option("one", 2.0, 0.3, 0.03), "ttft") == 0.3
