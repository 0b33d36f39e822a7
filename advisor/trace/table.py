"""A file of rows as columns of raw values: CSV, JSONL or Parquet, plain or gzip, told apart by content.

Nothing is judged here but the file's form; `rows.py` judges the values. No format runs code from the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from advisor.errors import InputError
from advisor.files import read_bytes
from advisor.parquetfile import UnreadableError, open_parquet
from advisor.trace.formats import Layout
from advisor.trace.trace import Ints

MAX_BYTES: Final = 2 * 2**30
"""Largest file, packed or unpacked."""
MAX_ROWS: Final = 20_000_000
_MAX_COLUMNS: Final = 1000
_BLOCK_BYTES: Final = 16 * 2**20  # the longest line of a CSV
_CHUNK_BYTES: Final = 8 * 2**20

Choose = Callable[[Sequence[str]], Layout]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a file as they stand there.

    Attributes:
        columns: our column name to its raw values: an Arrow array, or a list from JSONL. Equal lengths.
        lines: line number in the file (row number for Parquet) of each row, from 1.
        unit: "line" or "row".
        malformed: (line, reason) of rows without values: wrong number of fields, not JSON, ...
        layout: the format and where its columns lie.
    """

    columns: dict[str, Any]
    lines: Ints
    unit: str
    malformed: tuple[tuple[int, str], ...]
    layout: Layout


def read_table(path: str | Path, choose: Choose) -> Table:
    """Read the columns that `choose` picks from the header.

    Raises:
        InputError: missing, empty, too large, truncated, binary, or without rows.
    """
    source = "standard input" if str(path) == "-" else str(path)
    content = _unpacked(_content(path), source)
    if content[:4] == b"PAR1":
        return _parquet(content, choose, source)
    if b"\0" in content[:65536]:
        raise InputError(f"{source}: is binary; allowed: CSV, JSONL or Parquet, plain or gzip.")
    content = content.removeprefix(b"\xef\xbb\xbf")
    first = content.lstrip()[:1]
    if first == b"{":
        return _jsonl(content, choose, source)
    if first == b"[":
        raise InputError(f"{source}: holds one JSON list; allowed: JSONL, one object a line.")
    return _csv(content, choose, source)


def _content(path: str | Path) -> bytes:
    if str(path) != "-":
        return read_bytes(path, max_bytes=MAX_BYTES)
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"standard input: holds more than {MAX_BYTES:,} bytes. Cut it down.")
    return content


def _unpacked(content: bytes, source: str) -> bytes:
    if content[:2] == b"\x1f\x8b":
        chunks: list[bytes] = []
        total = 0
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    chunks.append(chunk)
                    total += len(chunk)
                    if total > MAX_BYTES:
                        raise InputError(f"{source}: unpacks to more than {MAX_BYTES:,} bytes. Cut it down.")
        except EOFError:
            raise InputError(f"{source}: is a gzip file cut short. Copy it again.") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{source}: is a damaged gzip file ({error}). Copy it again.") from None
        content = b"".join(chunks)
    if not content.strip():
        raise InputError(f"{source}: is empty; allowed: a file with content.")
    return content


def _csv(content: bytes, choose: Choose, source: str) -> Table:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    content = content.rstrip()
    head, _, body = content.partition(b"\n")
    delimiter, header = _header(head, source)
    _check_text(content, source)
    layout = choose(header)
    if not body.strip():
        raise InputError(f"{source}: holds a header and no row; allowed: at least one request.")
    malformed: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        reason = f"has {row.actual_columns} fields instead of {row.expected_columns}"
        malformed.append((int(row.number), reason))
        return "skip"

    wanted = sorted(set(layout.columns.values()))
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=header, skip_rows=1, block_size=_BLOCK_BYTES
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=skip, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types={name: pa.string() for name in wanted},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{source}: is not a CSV file that can be read: {_first_line(error)}.") from None
    _check_rows(table.num_rows + len(malformed), source)
    columns = {ours: _whole(table.column(theirs)) for ours, theirs in layout.columns.items()}
    return Table(
        columns, _lines(table.num_rows, [line for line, _ in malformed]), "line", tuple(malformed), layout
    )


def _check_text(content: bytes, source: str) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{source}: line {line}: is not UTF-8 text (byte {error.start}); allowed: a text file in UTF-8. "
            "Save it again in that encoding."
        ) from None


def _header(line: bytes, source: str) -> tuple[str, list[str]]:
    _check_text(line, source)
    text = line.decode().rstrip("\r")
    delimiter = max(",;\t", key=text.count)
    try:
        header = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error as error:
        raise InputError(f"{source}: line 1: is not a CSV header: {error}.") from None
    if len(header) > _MAX_COLUMNS:
        raise InputError(f"{source}: has {len(header):,} columns; allowed: at most {_MAX_COLUMNS:,}.")
    return delimiter, header


def _lines(rows: int, skipped: Sequence[int]) -> Ints:
    """Line numbers of the rows that were kept, below a header at line 1."""
    every = np.arange(2, rows + len(skipped) + 2, dtype=np.int64)
    return np.delete(every, np.asarray(skipped, dtype=np.int64) - 2) if skipped else every


def _jsonl(content: bytes, choose: Choose, source: str) -> Table:
    try:
        lines = content.decode().splitlines() if b"\r" in content else content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: is not UTF-8 text (byte {error.start}); allowed: a text file.") from None
    _check_rows(len(lines), source)
    while lines and not lines[-1].strip():
        lines.pop()
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    malformed: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            malformed.append((number, "is not JSON" if line.strip() else "is empty"))
            continue
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(number)
        else:
            malformed.append((number, "is not a JSON object"))
    if not rows:
        raise InputError(
            f"{source}: line {malformed[0][0]} {malformed[0][1]}; allowed: one JSON object a line."
        )
    layout = choose(tuple(dict.fromkeys(key for row in rows[:100] for key in row)))
    columns = {ours: [row.get(theirs) for row in rows] for ours, theirs in layout.columns.items()}
    return Table(columns, np.array(numbers, dtype=np.int64), "line", tuple(malformed), layout)


def _parquet(content: bytes, choose: Choose, source: str) -> Table:
    import pyarrow as pa

    try:
        file = open_parquet(content)
        _check_rows(file.metadata.num_rows, source)
        layout = choose(tuple(file.schema_arrow.names))
        table = file.read(columns=sorted(set(layout.columns.values())), use_threads=False)
        table.validate(full=True)  # texts that are no UTF-8 show only when they are used
    except (pa.ArrowException, OSError, UnicodeDecodeError, UnreadableError) as error:
        raise InputError(f"{source}: is not a Parquet file that can be read: {_first_line(error)}.") from None
    if not table.num_rows:
        raise InputError(f"{source}: holds no row; allowed: at least one request.")
    columns = {ours: _whole(table.column(theirs)) for ours, theirs in layout.columns.items()}
    return Table(columns, np.arange(1, table.num_rows + 1, dtype=np.int64), "row", (), layout)


def _whole(chunked: Any) -> Any:
    import pyarrow as pa

    combined = chunked.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _check_rows(rows: int, source: str) -> None:
    if rows > MAX_ROWS:
        raise InputError(f"{source}: holds {rows:,} rows; allowed: at most {MAX_ROWS:,}. Cut it down.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160]
