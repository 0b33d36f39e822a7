"""Parquet files of others, opened only if they take no more memory than they can be worth.

Arrow makes room for what a page's header claims before it reads the page, so that a few kilobytes could take
gigabytes. The headers are therefore read here first. They are in Thrift's compact protocol, of which they use
little. Source: parquet.thrift of apache/parquet-format (PageHeader and the headers in it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MOST_VALUES: Final = 100_000_000
"""Cells of one column; lists hold many a row."""
MOST_BYTES: Final = 4 * 2**30
"""Of all pages, unpacked."""

_MOST_PAGES: Final = 100_000  # of a column in a row group
_PAGE_BYTES: Final = 64 * 2**20
_RATIO: Final = 1100
"""A page may claim to unpack to so many bytes, or to so many times its own (gzip reaches 1,032 at most)."""
_PADDING: Final = 100  # bytes beyond a column's chunk that Arrow may read, for files of an old writer
_DEPTH: Final = 8

_UNPACKED, _PACKED = 2, 3  # fields of a page's header
_COUNTED_IN: Final = (
    5,
    7,
    8,
)  # those that begin with a number of values: data, dictionary, data of version 2
_DICTIONARY: Final = 7


class UnreadableError(ValueError):
    """The file is no Parquet, or claims what cannot be."""


def open_parquet(content: bytes) -> ParquetFile:
    """Open a file whose pages claim no more than they may.

    Raises:
        UnreadableError: it claims more, or its pages' headers cannot be read; says what.
        pyarrow.ArrowException, OSError: it is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content))
    metadata = file.metadata
    if metadata.num_rows > MOST_VALUES:
        raise UnreadableError(f"claims {metadata.num_rows:,} rows, of {MOST_VALUES:,} that may be")
    left, values = MOST_BYTES, dict[int, int]()
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        for number in range(rows.num_columns):
            chunk = rows.column(number)
            unpacked, count = _claims(content, chunk)
            left -= unpacked
            values[number] = values.get(number, 0) + max(count, chunk.num_values)
            if left < 0 or values[number] > MOST_VALUES:
                what = f"{MOST_BYTES:,} bytes, or {MOST_VALUES:,} values of {chunk.path_in_schema:.40}"
                raise UnreadableError(f"claims more than {what}")
    return file


def _claims(content: bytes, chunk: Any) -> tuple[int, int]:
    """Bytes and values that the pages of one column chunk claim, all together."""
    if not chunk.num_values:
        return 0, 0  # Arrow reads none of its pages
    at = chunk.data_page_offset
    dictionary = chunk.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < at:
        at = dictionary
    end = at + chunk.total_compressed_size
    unpacked = values = pages = 0
    while at < min(end + _PADDING, len(content)):
        begin = at
        try:
            page, at = _struct(content, begin, 0)
            packed, claimed = _size(page, _PACKED), _size(page, _UNPACKED)
            if at + packed > len(content):
                raise UnreadableError(f"a page of {packed:,} bytes ends outside the file")
        except UnreadableError:
            if begin >= end:
                break  # behind the last page lies something else
            raise
        if claimed > max(_PAGE_BYTES, _RATIO * packed):
            raise UnreadableError(f"a page of {packed:,} bytes claims to unpack to {claimed:,}")
        for field in _COUNTED_IN:
            count = _size(page[field], 1) if field in page else 0
            if field == _DICTIONARY and count > claimed:
                raise UnreadableError(f"a dictionary of {claimed:,} bytes claims {count:,} entries")
            values += count if field != _DICTIONARY and begin < end else 0
        unpacked += claimed if begin < end else 0
        at += packed
        pages += 1
        if pages > _MOST_PAGES:
            raise UnreadableError(f"a column has more than {_MOST_PAGES:,} pages")
    return unpacked, values


def _size(struct: Any, field: int) -> int:
    """A number of at least 0 in a struct."""
    value = struct.get(field) if isinstance(struct, dict) else None
    if not isinstance(value, int) or value < 0:
        raise UnreadableError("a page's header has no size")
    return value


def _struct(content: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct in Thrift's compact protocol, fields by number, and where it ends. Texts are passed over."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head, at = _byte(content, at)
        if not head:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _signed(content, at)
        fields[number], at = _value(content, at, head & 15, depth + 1)


def _value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > _DEPTH:
        raise UnreadableError("a page's header nests too deep")
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return None, at + 1
    if kind in (4, 5, 6):
        return _signed(content, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(content, at)
        return None, at + length
    if kind == 12:
        return _struct(content, at, depth)
    raise UnreadableError("a page's header holds what none does")


def _signed(content: bytes, at: int) -> tuple[int, int]:
    """A zigzag number."""
    value, at = _varint(content, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte, at = _byte(content, at)
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise UnreadableError("a page's header has an endless number")


def _byte(content: bytes, at: int) -> tuple[int, int]:
    if not 0 <= at < len(content):
        raise UnreadableError("a page's header lies outside the file")
    return content[at], at + 1
