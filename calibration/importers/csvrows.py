"""A table of somebody else's in CSV, plain or gzip: every cell is asked for by kind, and told by its line."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

from advisor.errors import InputError
from advisor.files import MAX_TEXT_BYTES, read_bytes
from advisor.problem import Problem

_MOST: float = 1e15
"""Beyond any count or time of a table, and exact as a float."""


class Row(dict[str, str]):
    """Cells by column, as text.

    Attributes:
        source: the file and the line.
    """

    def __init__(self, cells: Mapping[str, str], source: str) -> None:
        """Take the cells of one line."""
        super().__init__(cells)
        self.source = source

    def number(self, column: str) -> float:
        """A finite number (InputError)."""
        try:
            value = float(self[column])
        except (KeyError, ValueError):
            value = math.nan
        if not abs(value) <= _MOST:
            raise self.problem(column, "a finite number")
        return value

    def positive(self, column: str) -> float:
        """A number above 0 (InputError)."""
        value = self.number(column)
        if value <= 0:
            raise self.problem(column, "a number above 0")
        return value

    def whole(self, column: str) -> int:
        """A whole number of at least 0; 16.0 is 16 (InputError)."""
        value = self.number(column)
        if value < 0 or value != int(value):
            raise self.problem(column, "a whole number of at least 0")
        return int(value)

    def problem(self, column: str, allowed: str) -> InputError:
        """The error that says what stands in a column, and what may."""
        return InputError(
            Problem(
                self.source, column, self.get(column, ""), allowed, "Mend the cell, or copy the table again."
            )
        )


def csv_rows(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """Read a CSV file with a header, gzipped if its name says so.

    Raises:
        InputError: missing, damaged, not text, larger than 256 MiB, a column or a cell missing.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    rows = []
    try:
        header = next(reader, [])
        missing = [column for column in columns if column not in header]
        if missing:
            raise InputError(f"{path.name}: lacks the column {missing[0]}; has: {', '.join(header):.200}.")
        for cells in reader:
            if not cells:
                continue
            source = f"{path.name}: line {reader.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{source}: has {len(cells)} cells; allowed: {len(header)}, as the header.")
            rows.append(Row(dict(zip(header, cells, strict=True)), source))
    except csv.Error as error:
        raise InputError(f"{path.name}: line {reader.line_num}: is no CSV: {error}.") from None
    return rows


def _text(path: Path) -> str:
    content = read_bytes(path)
    try:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                content = stream.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise InputError(f"{path.name}: unpacks to more than {MAX_TEXT_BYTES:,} bytes. Cut it down.")
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: is not readable as text: {error}.") from None
