"""A what-if beside the answer: what would be served then, and what is served now."""

from __future__ import annotations

from advisor.recommendation import Option, Recommendation
from advisor.tables import units
from advisor.tables.ranking import hardware, label, limit_name, option_of, recommended, serving
from advisor.tables.table import Cell, Column, Mark, Table
from advisor.whatif.study import Verdict


def headline(verdict: Verdict, rec: Recommendation) -> str:
    """What would be served, and whether that is another choice than the answer's."""
    best, now = verdict.best, recommended(rec)
    if best is None:
        return "None of these meets the objective then"
    if now is None:
        return f"{label(best)}{_price(best)} meets the objective then"
    if best.key != now.key:
        return f"The choice turns: {label(best)}{_price(best)}"
    if best.devices != now.devices or best.usd_per_hour != now.usd_per_hour:
        return f"The same way, on {hardware(best)}{_price(best)} (before: {hardware(now)}{_price(now)})"
    return f"The choice stands: {label(best)}{_price(best)}"


def _price(option: Option) -> str:
    return "" if option.usd_per_hour is None else f" at ${units.usd(option.usd_per_hour)}/h"


def verdict(one: Verdict, rec: Recommendation) -> Table:
    """The options decided again, beside what they cost in the answer; with the limits of the objective."""
    best = one.best
    checks = next((option.checks for option in one.options if option.checks), ())
    marks: tuple[Mark, ...] = tuple(
        "recommended" if best is o else "" if o.feasible else "bad" for o in one.options
    )
    return Table(
        "what-if",
        "The recommended option of the answer and its nearest rivals, decided again; before: in the answer.",
        (
            Column("way to serve"),
            Column("devices"),
            Column("then", "usd", unit="$/h"),
            Column("before", "usd", unit="$/h"),
            *(Column(limit_name(c), "share" if c.metric == "goodput" else "ms") for c in checks),
        ),
        tuple((*_served(o), _before(rec, o), *_values(o, len(checks))) for o in one.options),
        marks,
        tuple(o.reason for o in one.options),
    )


def _served(option: Option) -> tuple[Cell, ...]:
    """Way, devices and price; of what meets no limit there is no number of devices that would do."""
    if not option.feasible:
        return serving(option), option.device, None
    return serving(option), hardware(option), option.usd_per_hour


def _before(rec: Recommendation, option: Option) -> float | None:
    found = option_of(rec, option.key)
    return found.usd_per_hour if found is not None and found.feasible else None


def _values(option: Option, count: int) -> tuple[Cell, ...]:
    return tuple(check.value for check in option.checks) or (None,) * count
