"""What a lower latency costs: the options on the front of each metric; and the answer on other draws."""

from __future__ import annotations

from typing import Final

from advisor.recommendation import Option, Recommendation, SpreadOf
from advisor.search.front import FrontMetric, value_of
from advisor.tables import ranking, units
from advisor.tables.table import Column, Table

_METRICS: Final[dict[FrontMetric, str]] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "E2E",
    "goodput": "requests beyond a limit",
}


def fronts(rec: Recommendation) -> Table:
    """The front of each metric, cheapest first; a dearer row is a better one."""
    rows = [
        (_name(option, metric), ranking.serving(option), ranking.hardware(option), option.usd_per_hour,
         _written(metric, value_of(option, metric)))
        for metric in _METRICS
        for option in sorted(rec.options, key=lambda o: o.usd_per_hour or 0.0)
        if metric in option.pareto
    ]  # fmt: skip
    return Table(
        "fronts",
        "What a better figure costs: of each metric the options that no other beats for their price or less.",
        (Column("metric"), Column("way to serve"), Column("devices"), Column("$/h", "usd"), Column("figure")),
        tuple(rows),
    )


def _name(option: Option, metric: FrontMetric) -> str:
    """The metric with its percentile: TTFT p99."""
    if metric == "goodput":
        return _METRICS[metric]
    asked = [check.percentile or 0.0 for check in option.checks if check.metric == metric]
    return f"{_METRICS[metric]} p{max(asked, default=99.0):g}"


def _written(metric: FrontMetric, value: float) -> str:
    return f"{units.share(value)} %" if metric == "goodput" else units.duration(value)


def spread(option: Option) -> Table:
    """Each limit on other draws of the workload; no rows where there were none."""
    found = option.spread
    rows = tuple(
        (_limit(row), _of(row, row.limit), _of(row, row.low), _of(row, row.median), _of(row, row.high))
        for row in (found.limits if found else ())
    )
    counted = "" if found is None else f" Every limit held on {found.holding} of {found.draws}."
    return Table(
        "draws",
        f"The same deployment on other draws of the workload, each with a seed of its own.{counted}",
        (Column("limit"), Column("asked"), Column("lowest"), Column("median"), Column("highest")),
        rows,
    )


def _limit(row: SpreadOf) -> str:
    percentile = "" if row.percentile is None else f" p{row.percentile:g}"
    return f"{'goodput' if row.metric == 'goodput' else _METRICS[row.metric]}{percentile}"


def _of(row: SpreadOf, value: float) -> str:
    return _written(row.metric, value)
