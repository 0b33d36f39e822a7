"""The traffic bought by the token, beside the recommended deployment."""

from __future__ import annotations

from advisor.bytoken import TokenOffer
from advisor.recommendation import Recommendation
from advisor.tables import ranking, units
from advisor.tables.table import Column, Table


def words(rec: Recommendation) -> str:
    """What the table says, and what it cannot say."""
    best = ranking.recommended(rec)
    rate = units.significant(rec.workload.rate_rps)
    said = [f"What {rate} requests/s of these lengths cost by the token, the base model's price."]
    if best is not None and best.usd_per_hour is not None:
        cheapest = min(rec.tokens, key=lambda one: one.usd_per_hour)
        more = cheapest.usd_per_hour / best.usd_per_hour
        said.append(
            f"The recommended deployment costs ${units.usd(best.usd_per_hour)} an hour, busy or idle; the "
            f"cheapest tokens cost {units.times(more)} as much at this load, every hour like it."
        )
    said.append("How fast they come, and whether your adapters may, is the provider's: not simulated.")
    return " ".join(said)


def offers(rec: Recommendation) -> Table:
    """Every price, cheapest at this load first."""
    return Table(
        "tokens",
        "Both cost the same at the load in the last column but one: below it, on average over day and night, "
        "tokens are the cheaper.",
        (
            Column("provider"),
            Column("in", "usd", "$ a million tokens"),
            Column("out", "usd", "$ a million tokens"),
            Column("$/h", "usd"),
            Column("same price at", "number", unit="req/s"),
            Column("adapters", cut=True),
            Column("price of", weight=1),
        ),
        tuple(_row(one) for one in sorted(rec.tokens, key=lambda one: (one.usd_per_hour, one.provider))),
    )


def _row(one: TokenOffer) -> tuple[str | float | None, ...]:
    return (
        one.provider,
        one.usd_per_mtok_input,
        one.usd_per_mtok_output,
        one.usd_per_hour,
        one.equal_rps,
        one.adapters,
        one.date,
    )
