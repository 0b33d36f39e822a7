"""How sure: shares of draws, spreads of figures, and what turns the choice by itself."""

from __future__ import annotations

from advisor.certainty import Certainty, Spread, Tip
from advisor.recommendation import Recommendation
from advisor.tables.ranking import named
from advisor.tables.table import Cell, Column, Table


def tables(rec: Recommendation, sure: Certainty) -> tuple[Table, ...]:
    """All of them that say something."""
    every = (shares(rec, sure), spreads(sure), tips(rec, sure))
    return tuple(table for table in every if table.rows)


def shares(rec: Recommendation, sure: Certainty) -> Table:
    """Which option is the best in how many draws."""
    return Table(
        "draws",
        f"The best of {len(sure.compared)} options compared, in {sure.draws} draws.",
        (Column("best in the draw"), Column("draws", "count"), Column("share", "share")),
        tuple(
            (
                "none of those compared holds" if one.option is None else named(rec, one.option),
                one.draws,
                one.draws / sure.draws,
            )
            for one in sure.best
        ),
        tuple("recommended" if one.option == sure.compared[0] else "" for one in sure.best),
    )


def spreads(sure: Certainty) -> Table:
    """Price and latencies over the draws."""

    def cells(one: Spread) -> tuple[Cell, ...]:
        scale = 1.0 if one.name.startswith("USD") else 1e3
        name = one.name if one.name.startswith("USD") else f"{one.name}, ms"
        return (name, *(None if end is None else end * scale for end in (one.estimate, one.low, one.high)))

    return Table(
        "spreads",
        "Price with the replicas that each draw asks for (twice the present ones at most), latencies with "
        "the replicas as they are: 90 % of the draws lie between low and high; a dash: endless.",
        (
            Column("figure"),
            Column("estimate", "number"),
            Column("low", "number"),
            Column("high", "number"),
        ),
        tuple(cells(one) for one in sure.spreads),
    )


def tips(rec: Recommendation, sure: Certainty) -> Table:
    """What turns the choice by itself, likeliest first; inputs that do not are left out."""

    def cells(tip: Tip) -> tuple[Cell, ...]:
        low, high = tip.interval or (None, None)
        to = " or ".join(
            dict.fromkeys(named(rec, one) for one in (tip.below_option, tip.above_option) if one)
        )
        origin = "" if tip.origin is None else tip.origin.value
        return (tip.input, origin, low, high, tip.below, tip.above, tip.chance, to or None)

    return Table(
        "tips",
        "Each input by itself, all others as they are: the multiplier at which the choice turns.",
        (
            Column("input"),
            Column("figure is"),
            Column("from", "number", "interval", unit="×", weight=1),
            Column("to", "number", "interval", unit="×", weight=1),
            Column("below", "number", "turns", unit="×"),
            Column("above", "number", "turns", unit="×"),
            Column("chance", "share"),
            Column("to", weight=2),
        ),
        tuple(cells(tip) for tip in sure.tips if tip.chance > 0),
    )
