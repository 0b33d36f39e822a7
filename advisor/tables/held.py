"""Predicted beside measured, measured beside fitted, and drift, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

from advisor.fitted import DriftCheck
from advisor.held import Held
from advisor.profile import Profile
from advisor.spec.spec import Origin
from advisor.tables import units
from advisor.tables.known import profile_terms
from advisor.tables.table import Cell, Column, Mark, Table

_NOISY: Final = 0.1
"""The widest limit of a validation's figures: above it the noise alone decides what holds."""


def held(rows: Sequence[Held]) -> Table:
    """Every figure with its error and whether it holds."""
    columns = (
        Column("run", cut=True), Column("figure"), Column("measured"), Column("predicted"),
        Column("error", "share"), Column("allowed", "share", weight=1), Column("noise", "share", weight=2),
        Column("holds"),
    )  # fmt: skip
    said = {True: "yes", False: "no", None: None}
    cells: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.run, row.figure, written(row, row.measured), written(row, row.predicted), row.error,
            row.allowed, row.noise, said[row.holds],
        )
        for row in rows
    )  # fmt: skip
    marks: tuple[Mark, ...] = tuple("bad" if row.holds is False else "" for row in rows)
    return Table(
        "held",
        "Predicted beside measured. Error: predicted over measured, less one; allowed: the figure's limit, "
        "or 1.5 times the noise between replays where that is more.",
        columns,
        cells,
        marks,
    )


def written(row: Held, value: float) -> str:
    """A figure with its unit."""
    return units.duration(value) if row.unit == "s" else f"{units.significant(value)} {row.unit}"


def verdict(rows: Sequence[Held]) -> str:
    """How many figures hold, in a sentence."""
    judged = [row for row in rows if row.holds is not None]
    if not judged:
        worst = max(rows, key=lambda row: abs(row.error))
        return (
            f"{units.counted(len(rows), 'figure')}; the largest error is {worst.error:+.1%} "
            f"({worst.figure}). "
            "Without replays nothing says how far off they may be."
        )
    broken = [row for row in judged if not row.holds]
    said = f"{len(judged) - len(broken)} of {units.counted(len(judged), 'figure')} hold."
    if broken:
        worst = max(broken, key=lambda row: abs(row.error))
        said += f" The farthest off: {worst.figure} of {worst.run}, {worst.error:+.1%}."
    noise = median(row.noise or 0.0 for row in judged)
    if noise > _NOISY:
        said += (
            f" Two replays of the same differ by {noise:.0%} (median of the figures): the machine was not "
            "quiet, and that a figure holds says little."
        )
    return said


def drift(found: DriftCheck) -> Table:
    """Kinds of work measured again, and whether they take as long."""
    columns = (
        Column("work"), Column("points", "count"), Column("change", "share"), Column("allowed", "share"),
        Column("holds"),
    )  # fmt: skip
    rows = tuple(
        (row.operation, row.points, row.ratio - 1, row.allowed, "yes" if row.holds else "no")
        for row in found.rows
    )
    marks: tuple[Mark, ...] = tuple("" if row.holds else "bad" for row in found.rows)
    return Table(
        "drift", "A few points of each kind of work, measured again: now over then.", columns, rows, marks
    )


_GROUPS = {
    Origin.MEASURED: "measured",
    Origin.FITTED: "fitted to measurements",
    Origin.EXTRAPOLATED: "extrapolated from measurements",
    Origin.ESTIMATED: "estimated",
    Origin.DATASHEET: "from the datasheet",
}


def provenance(profile: Profile) -> str:
    """How many of a profile's terms are measured, fitted, extrapolated, estimated, in a sentence."""
    table = profile_terms(profile)
    counts = Counter(str(row[2]) for row in table.rows)
    said = [f"{counts[o.value]} {word}" for o, word in _GROUPS.items() if counts[o.value]]
    by = {"import": "Imported from others' tables and runs", "microbench": "Measured by the live engine"}
    how = by.get(profile.method, f"Found by {profile.method}")
    return f"{how}. Of {units.counted(len(table.rows), 'term')}: {', '.join(said)}."
