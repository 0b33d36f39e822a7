"""Plain text for a terminal: tables that fit its width, paragraphs, and nothing said by colour alone."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from typing import Final

from advisor.tables.table import Table

_GAP: Final = 2  # blanks between columns
_MARKS: Final = {"recommended": "→", "reference": "·", "total": " ", "bad": "!", "": " "}
_MIN_WIDTH: Final = 40
_CUT_WIDTH: Final = 20  # a text that may be cut keeps at least this much


@dataclass(frozen=True, slots=True)
class Style:
    """How text is set: width in characters, and escape codes only where the terminal wants them."""

    width: int = 100
    colour: bool = False

    def bold(self, text: str) -> str:
        """Heavier, where colour is on."""
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        """Fainter, where colour is on."""
        return self._wrap("2", text)

    def good(self, text: str) -> str:
        """The recommended row."""
        return self._wrap("1;32", text)

    def bad(self, text: str) -> str:
        """A broken limit."""
        return self._wrap("33", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def columns_width(text: str) -> int:
    """Columns of a terminal that a text takes (wide characters two, combining ones none)."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def clean(text: str) -> str:
    """Replace control characters: a name from a file must not move the cursor."""
    return "".join(
        " " if char in "\n\t" else "?" if unicodedata.category(char) in ("Cc", "Cf") else char
        for char in text
    )


def paragraph(text: str, style: Style, indent: str = "") -> str:
    """A wrapped paragraph."""
    width = max(_MIN_WIDTH, min(style.width, 100))
    return textwrap.fill(
        clean(text), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def bullet(text: str, style: Style) -> str:
    """A wrapped list item."""
    return f"- {paragraph(text, Style(style.width - 2), indent='  ').lstrip()}"


def heading(text: str, style: Style) -> str:
    """A section's heading."""
    return style.bold(text)


def table(content: Table, style: Style) -> str:
    """The table; columns of least weight are left out where the width is too small, and named below."""
    fitted, dropped = _fit(content, style.width)
    cells = [[clean(cell) for cell in row] for row in fitted.written()]
    widths = _widths(fitted, cells)
    _cut(fitted, cells, widths, style.width)
    lines = _headings(fitted, widths, style)
    for index, row in enumerate(cells):
        mark = fitted.mark(index)
        line = _line(fitted, row, widths, _MARKS[mark])
        paint = {
            "recommended": style.good,
            "reference": style.dim,
            "total": style.bold,
            "bad": style.bad,
        }.get(mark)
        lines.append(paint(line) if paint else line)
        if fitted.notes and fitted.notes[index]:
            lines.append(style.dim(paragraph(fitted.notes[index], style, indent="      ")))
    if dropped:
        lines.append(
            style.dim(
                paragraph(f"Left out here: {', '.join(dropped)}. A wider terminal or --json has them.", style)
            )
        )
    return "\n".join(lines)


def _fit(content: Table, width: int) -> tuple[Table, list[str]]:
    keep = list(range(len(content.columns)))
    dropped: list[str] = []
    while True:
        fitted = content.columns_of(keep)
        widths = _widths(fitted, fitted.written())
        widths = [min(w, _CUT_WIDTH) if c.cut else w for w, c in zip(widths, fitted.columns, strict=True)]
        needed = _needed(widths)
        optional = [i for i in keep if content.columns[i].weight]
        if needed <= width or not optional:
            return fitted, dropped
        least = min(optional, key=lambda i: content.columns[i].weight)
        keep.remove(least)
        dropped.append(
            " ".join(part for part in (content.columns[least].group, content.columns[least].title) if part)
        )


def _needed(widths: list[int]) -> int:
    return 2 + sum(widths) + _GAP * (len(widths) - 1)


def _cut(content: Table, cells: list[list[str]], widths: list[int], room: int) -> None:
    """Shorten the columns that may be cut until the table fits, in place."""
    for index, column in enumerate(content.columns):
        if column.cut and _needed(widths) > room:
            widths[index] = max(_CUT_WIDTH, widths[index] - (_needed(widths) - room))
            for row in cells:
                if len(row[index]) > widths[index]:
                    row[index] = row[index][: widths[index] - 1] + "…"


def _titles(content: Table) -> list[str]:
    """The lower heading of each column: the unit goes to the group where there is one."""
    return [c.title if c.group or not c.shown_unit else f"{c.title} {c.shown_unit}" for c in content.columns]


def _widths(content: Table, cells: list[list[str]]) -> list[int]:
    widths = [columns_width(title) for title in _titles(content)]
    for row in cells:
        widths = [max(width, columns_width(cell)) for width, cell in zip(widths, row, strict=True)]
    for first, last, name in _groups(content):
        room = sum(widths[first : last + 1]) + _GAP * (last - first)
        widths[first] += max(0, columns_width(name) - room)
    return widths


def _groups(content: Table) -> list[tuple[int, int, str]]:
    """Runs of columns with one group: first, last, heading with unit."""
    runs: list[tuple[int, int, str]] = []
    for index, column in enumerate(content.columns):
        name = f"{column.group} {column.shown_unit}".strip() if column.group else ""
        if name and runs and runs[-1][1] == index - 1 and runs[-1][2] == name:
            runs[-1] = (runs[-1][0], index, name)
        elif name:
            runs.append((index, index, name))
    return runs


def _headings(content: Table, widths: list[int], style: Style) -> list[str]:
    lines = []
    groups = _groups(content)
    if groups:
        line, at = "  ", 0
        for first, last, name in groups:
            line += " " * (sum(widths[at:first]) + _GAP * (first - at))
            room = sum(widths[first : last + 1]) + _GAP * (last - first)
            line += _centred(name, room) + " " * _GAP
            at = last + 1
        lines.append(style.dim(line.rstrip()))
    lines.append(style.dim(_line(content, _titles(content), widths, " ").rstrip()))
    lines.append(style.dim("  " + "  ".join("─" * width for width in widths)))
    return lines


def _centred(text: str, room: int) -> str:
    spare = room - columns_width(text)
    if spare < 4:
        return text + " " * spare
    left = (spare - 2) // 2
    return "─" * left + f" {text} " + "─" * (spare - 2 - left)


def _line(content: Table, cells: list[str], widths: list[int], mark: str) -> str:
    parts = []
    for column, cell, width in zip(content.columns, cells, widths, strict=True):
        space = " " * (width - columns_width(cell))
        parts.append(cell + space if column.kind == "text" else space + cell)
    return f"{mark} {(' ' * _GAP).join(parts)}".rstrip()
