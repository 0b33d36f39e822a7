"""Which options no other beats on price and on one latency: the Pareto front of each metric.

An option is on the front of a metric where none of the others is at most as dear and better in it, or cheaper
and as good. Of the options with the same price and value the first in rank stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from advisor.recommendation import Option
from advisor.spec.objective import Objective

FrontMetric = Literal["ttft", "tpot", "e2e", "goodput"]
_LATENCIES: tuple[FrontMetric, ...] = ("ttft", "tpot", "e2e")


def metrics_of(objective: Objective) -> tuple[FrontMetric, ...]:
    """The metrics of the objective; every latency where it names none."""
    asked: list[FrontMetric] = [m for m in _LATENCIES if any(s.metric.value == m for s in objective.limits)]
    if objective.goodput_share is not None:
        asked.append("goodput")
    return tuple(asked) or _LATENCIES


def value_of(option: Option, metric: FrontMetric) -> float:
    """What is compared, smaller is better: the strictest asked percentile, else p99; the share not good."""
    assert option.outcome is not None  # of an option that was simulated
    checks = [check for check in option.checks if check.metric == metric]
    if metric == "goodput":
        return 1.0 - option.outcome.goodput_share
    if checks:
        return max(checks, key=lambda check: check.percentile or 0.0).value
    latency: float = getattr(option.outcome, metric).p99_s
    return latency


def fronts(options: Sequence[Option], objective: Objective) -> dict[str, tuple[FrontMetric, ...]]:
    """The metrics on whose front each option lies, by key.

    Args:
        options: in the order of their rank; the infeasible, the reference, what has no price and what is
            bought by the token (its price is not that of the same service) are left out.
        objective: its metrics count.
    """
    able = [
        o
        for o in options
        if o.feasible and not o.is_reference and o.bought is None and o.outcome and o.usd_per_hour
    ]
    found: dict[str, list[FrontMetric]] = {option.key: [] for option in able}
    for metric in metrics_of(objective):
        best = float("inf")
        for option in sorted(able, key=lambda o: (o.usd_per_hour, value_of(o, metric))):
            if value_of(option, metric) < best:
                best = value_of(option, metric)
                found[option.key].append(metric)
    return {key: tuple(metrics) for key, metrics in found.items()}
