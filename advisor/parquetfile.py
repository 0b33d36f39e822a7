"""Parquet files of others, opened only if they take no more memory than they can be worth.

Arrow makes room for what a page's header claims before it reads the page, so that a few kilobytes could take
gigabytes. Footer and page headers are therefore read here first, and not through Arrow's metadata, which
ends the process where a footer contradicts itself. Source: parquet.thrift of apache/parquet-format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from advisor.thrift import Struct, ThriftError, read_struct

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MOST_VALUES: Final = 100_000_000
"""Cells of one column; lists hold many a row."""
MOST_BYTES: Final = 4 * 2**30
"""Of all pages, unpacked."""

_MAGIC: Final = b"PAR1"
_FOOTER_BYTES: Final = 8 * 2**20
_HEADER_BYTES: Final = 2**20  # of a page
_MOST_PAGES: Final = 100_000  # of a column in a row group
_PAGE_BYTES: Final = 64 * 2**20
_RATIO: Final = 1100
"""A page may claim to unpack to so many bytes, or to so many times its own (gzip reaches 1,032 at most)."""
_PADDING: Final = 100  # bytes beyond a column's chunk that Arrow may read, for files of an old writer


class UnreadableError(ValueError):
    """The file is no Parquet, or claims what cannot be."""


def open_parquet(content: bytes) -> ParquetFile:
    """Open a file whose pages claim no more than they may.

    Raises:
        UnreadableError: it claims more, or its footer or its pages' headers cannot be read; says what.
        pyarrow.ArrowException, OSError: Arrow finds something else wrong.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check(content)
    return pq.ParquetFile(pa.BufferReader(content))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where the pages of a column in a row group lie, and the values that the footer claims for them."""

    begin: int
    end: int
    values: int


def _check(content: bytes) -> None:
    """UnreadableError where a file claims too much, or is none."""
    footer = _footer(content)
    rows = _count(footer, 3)
    if rows > MOST_VALUES:
        raise UnreadableError(f"claims {rows:,} rows, of {MOST_VALUES:,} that may be")
    left, values = MOST_BYTES, dict[int, int]()
    for group in _structs(footer, 4):
        for number, column in enumerate(_structs(group, 1)):
            chunk = _chunk(column)
            unpacked, count = _claims(content, chunk)
            left -= unpacked
            values[number] = values.get(number, 0) + max(count, chunk.values)
            if left < 0 or values[number] > MOST_VALUES:
                raise UnreadableError(
                    f"claims more than {MOST_BYTES:,} bytes, or {MOST_VALUES:,} values a column"
                )


def _footer(content: bytes) -> Struct:
    """The file's metadata."""
    length = int.from_bytes(content[-8:-4], "little")
    begin = len(content) - 8 - length
    if content[:4] != _MAGIC or content[-4:] != _MAGIC or begin < len(_MAGIC):
        raise UnreadableError("lacks Parquet's marks at its ends")
    if length > _FOOTER_BYTES:
        raise UnreadableError(f"its footer has {length:,} bytes, of {_FOOTER_BYTES:,} that may be")
    try:
        return read_struct(memoryview(content)[begin:-8])[0]
    except ThriftError as error:
        raise UnreadableError(f"its footer {error}") from None


def _chunk(column: Struct) -> _Chunk:
    known = column.get(3)
    if not isinstance(known, dict):
        raise UnreadableError("a column has no metadata in the footer")
    begin = _count(known, 9)
    dictionary = _count(known, 11) if 11 in known else 0
    if 0 < dictionary < begin:
        begin = dictionary
    return _Chunk(begin, begin + _count(known, 7), _count(known, 5))


def _claims(content: bytes, chunk: _Chunk) -> tuple[int, int]:
    """Bytes and values that the pages of one chunk claim, all together."""
    at, unpacked, values, pages = chunk.begin, 0, 0, 0
    if not chunk.values:
        return 0, 0  # Arrow reads none of its pages
    while at < min(chunk.end + _PADDING, len(content)):
        is_ours = at < chunk.end
        try:
            page, length = read_struct(memoryview(content)[at : at + _HEADER_BYTES])
            at += length
            packed, claimed, count = _page(page)
            if at + packed > len(content):
                raise UnreadableError(f"a page of {packed:,} bytes ends outside the file")
        except (ThriftError, UnreadableError) as error:
            if not is_ours:
                break  # behind the last page lies something else
            raise UnreadableError(
                f"a page's header {error}" if isinstance(error, ThriftError) else str(error)
            ) from None
        if claimed > max(_PAGE_BYTES, _RATIO * packed):
            raise UnreadableError(f"a page of {packed:,} bytes claims to unpack to {claimed:,}")
        at += packed
        if is_ours:
            unpacked, values, pages = unpacked + claimed, values + count, pages + 1
        if pages > _MOST_PAGES:
            raise UnreadableError(f"a column has more than {_MOST_PAGES:,} pages in a row group")
    return unpacked, values


def _page(header: Struct) -> tuple[int, int, int]:
    """What a page's header claims: bytes packed and unpacked, values; entries of a dictionary are none."""
    packed, claimed = _count(header, 3), _count(header, 2)
    if 7 in header and _count(header[7], 1) > claimed:
        raise UnreadableError(f"a dictionary of {claimed:,} bytes claims {_count(header[7], 1):,} entries")
    return packed, claimed, sum(_count(header[kind], 1) for kind in (5, 8) if kind in header)


def _count(struct: Any, field: int) -> int:
    """A number of at least 0 in a struct."""
    value = struct.get(field) if isinstance(struct, dict) else None
    if not isinstance(value, int) or value < 0:
        raise UnreadableError(f"field {field} of a part of it is no count")
    return value


def _structs(struct: Struct, field: int) -> list[Struct]:
    """A list of structs in a struct."""
    values = struct.get(field)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise UnreadableError(f"field {field} of a part of its footer is no list")
    return values
