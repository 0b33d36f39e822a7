"""A what-if beside the answer: what would be served then, and what is served now."""

from __future__ import annotations

from advisor.recommendation import Option, Recommendation
from advisor.tables import units
from advisor.tables.ranking import hardware, label, option_of, recommended, serving
from advisor.tables.table import Column, Mark, Table
from advisor.whatif.study import Verdict


def headline(verdict: Verdict, rec: Recommendation) -> str:
    """What would be served, and whether that is another choice than the answer's."""
    best, now = verdict.best, recommended(rec)
    if best is None:
        return "None of these meets the objective then"
    price = "" if best.usd_per_hour is None else f" at ${units.usd(best.usd_per_hour)}/h"
    if now is None:
        return f"{label(best)}{price}"
    if best.key != now.key:
        return f"The choice turns: {label(best)}{price}"
    if best.devices != now.devices:
        return f"The same way, on {hardware(best)}{price}"
    return f"The choice stands: {label(best)}{price}"


def verdict(one: Verdict, rec: Recommendation) -> Table:
    """The options decided again, beside what they cost in the answer."""

    def before(option: Option) -> float | None:
        found = option_of(rec, option.key)
        return None if found is None else found.usd_per_hour

    best = one.best
    marks: tuple[Mark, ...] = tuple(
        "recommended" if best is o else "" if o.feasible else "bad" for o in one.options
    )
    return Table(
        "what-if",
        "The recommended option of the answer and its nearest rivals, decided again. Now: in the answer.",
        (
            Column("way to serve"),
            Column("devices"),
            Column("$/h", "usd"),
            Column("now $/h", "usd"),
            Column("p99", "ms", "TTFT"),
            Column("p99", "ms", "TPOT"),
            Column("meets"),
        ),
        tuple(
            (
                serving(o),
                hardware(o),
                o.usd_per_hour,
                before(o),
                None if o.outcome is None else o.outcome.ttft.p99_s,
                None if o.outcome is None else o.outcome.tpot.p99_s,
                "yes" if o.feasible else "no",
            )
            for o in one.options
        ),
        marks,
        tuple(o.reason for o in one.options),
    )
