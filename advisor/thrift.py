"""Thrift's compact protocol, read: what Parquet's footers and page headers are written in.

Source: thrift-compact-protocol.md of apache/thrift.
"""

from __future__ import annotations

from typing import Any, Final

_DEPTH: Final = 24

_TRUE, _FALSE, _BYTE, _SHORT, _INT, _LONG, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

Struct = dict[int, Any]
"""Fields by number: numbers, structs, lists; None for texts, bytes and floats, which are passed over."""


class ThriftError(ValueError):
    """The bytes are not of this protocol."""


def read_struct(content: memoryview) -> tuple[Struct, int]:
    """The struct at the beginning, and its bytes. It takes memory in proportion to the content: cut that.

    Raises:
        ThriftError: not of this protocol, or longer than the content.
    """
    return _struct(content, 0, 0)


def _struct(content: memoryview, at: int, depth: int) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while True:
        head, at = _byte(content, at)
        if not head:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _signed(content, at)
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(content, at, kind, depth + 1)


def _value(content: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > _DEPTH:
        raise ThriftError("nests too deep")
    if kind in (_TRUE, _FALSE, _BYTE):
        return _byte(content, at)
    if kind in (_SHORT, _INT, _LONG):
        return _signed(content, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(content, at)
        return None, at + length
    if kind in (_LIST, _SET):
        return _list(content, at, depth)
    if kind == _STRUCT:
        return _struct(content, at, depth)
    raise ThriftError("holds a kind of value that is not known")


def _list(content: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = _byte(content, at)
    count = head >> 4
    if count == 15:
        count, at = _varint(content, at)
    values = []
    for _ in range(min(count, len(content) - at + 1)):  # each takes a byte at least
        value, at = _value(content, at, head & 15, depth + 1)
        values.append(value)
    return values, at


def _signed(content: memoryview, at: int) -> tuple[int, int]:
    """A zigzag number."""
    value, at = _varint(content, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte, at = _byte(content, at)
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ThriftError("has an endless number")


def _byte(content: memoryview, at: int) -> tuple[int, int]:
    if at >= len(content):
        raise ThriftError("ends too early")
    return content[at], at + 1
