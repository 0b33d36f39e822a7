"""A table: typed columns and rows of raw values. Faces decide how it looks, never what it says."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from advisor.tables import units

Cell = str | float | int | None
Kind = Literal["text", "count", "ms", "s", "usd", "share", "times", "gib", "delta_ms", "number"]
Mark = Literal["", "recommended", "reference", "total", "bad"]

_WRITE: Final[dict[Kind, Callable[[float], str]]] = {
    "count": units.count,
    "ms": lambda seconds: units.significant(seconds * 1e3),
    "s": units.significant,
    "usd": units.usd,
    "share": units.share,
    "times": units.times,
    "gib": units.gib,
    "delta_ms": lambda seconds: units.signed(seconds * 1e3),
    "number": units.significant,
}
_UNIT: Final[dict[Kind, str]] = {"ms": "ms", "s": "s", "share": "%", "gib": "GiB", "delta_ms": "ms"}
_SCALE: Final[dict[Kind, float]] = {"ms": 1e3, "delta_ms": 1e3, "share": 100.0, "gib": 2.0**-30}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Cells hold seconds, bytes, shares of one and USD; `kind` says how they are written.

    Attributes:
        title: the heading, without unit.
        kind: how a value is written; text is left-aligned, all others right-aligned.
        group: a heading above several columns, such as TTFT over p50, p95 and p99.
        unit: shown in the heading; the kind's unit if empty.
        weight: what a narrow face leaves out first (lowest); 0 is never left out.
        cut: a narrow face may show the beginning of the text alone.
    """

    title: str
    kind: Kind = "text"
    group: str = ""
    unit: str = ""
    weight: int = 0
    cut: bool = False

    @property
    def shown_unit(self) -> str:
        """The unit for the heading."""
        return self.unit or _UNIT.get(self.kind, "")

    @property
    def heading(self) -> str:
        """Group, title and unit in one line."""
        name = " ".join(part for part in (self.group, self.title) if part)
        return f"{name} ({self.shown_unit})" if self.shown_unit else name

    def write(self, value: Cell) -> str:
        """Write one cell for people."""
        if value is None:
            return units.DASH
        if isinstance(value, str):
            return value
        return str(value) if self.kind == "text" else _WRITE[self.kind](value)

    def number(self, value: Cell) -> Cell:
        """Return the cell in the heading's unit, unrounded."""
        return value * _SCALE[self.kind] if isinstance(value, float | int) and self.kind in _SCALE else value


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows.

    Attributes:
        name: short and stable; names the CSV file.
        caption: what the table shows, in one sentence.
        marks: one a row; what is special about it.
        notes: one a row, or empty; said in full below the row (a reason that no column holds).
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows)
        assert not self.marks or len(self.marks) == len(self.rows)
        assert not self.notes or len(self.notes) == len(self.rows)

    def mark(self, row: int) -> Mark:
        """What is special about a row."""
        return self.marks[row] if self.marks else ""

    def written(self) -> list[list[str]]:
        """All cells, written for people."""
        return [
            [column.write(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows
        ]

    def columns_of(self, keep: Sequence[int]) -> Table:
        """The same table with these columns alone."""
        return Table(
            self.name, self.caption, tuple(self.columns[i] for i in keep),
            tuple(tuple(row[i] for i in keep) for row in self.rows), self.marks, self.notes,
        )  # fmt: skip

    def head(self, rows: int) -> Table:
        """The first rows."""
        return Table(
            self.name, self.caption, self.columns, self.rows[:rows], self.marks[:rows], self.notes[:rows]
        )

    def csv(self) -> str:
        """The table as CSV: unrounded, in the heading's unit."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([column.heading for column in self.columns])
        for row in self.rows:
            writer.writerow([_safe(c.number(cell)) for c, cell in zip(self.columns, row, strict=True)])
        return buffer.getvalue()

    def markdown(self) -> str:
        """The table in Markdown, cells escaped."""
        lines = [
            _line(column.heading for column in self.columns),
            _line("---" if column.kind == "text" else "---:" for column in self.columns),
        ]
        for index, cells in enumerate(self.written()):
            bold = self.mark(index) in ("recommended", "total")
            lines.append(_line(f"**{escape(cell)}**" if bold and cell else escape(cell) for cell in cells))
        return "\n".join(lines)


def escape(text: str) -> str:
    """Escape what Markdown (and HTML inside it) would take for markup."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*_[]|#!" else char for char in text.replace("\n", " "))


def _line(cells: object) -> str:
    return f"| {' | '.join(cells)} |"  # type: ignore[arg-type]  # an iterable of texts


def _safe(cell: Cell) -> Cell:
    """A text that a spreadsheet would run as a formula is quoted."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
