"""One raw column as numbers, seconds, names or id lists, with a mark for each value that is not one.

Raw columns are Arrow arrays (CSV: of text) or lists (JSONL).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from advisor.trace.trace import Floats, Ints

Mask = NDArray[np.bool_]

_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NOT_FINITE: Final = r"(?i)^[+-]?(nan|inf|infinity)$"
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True, slots=True)
class Numbers:
    """Values of a column; where a mask is set the value is NaN."""

    values: Floats
    missing: Mask
    wrong: Mask  # not a number at all
    not_finite: Mask


def numbers(raw: Any) -> Numbers:
    """Read numbers. Text in a CSV counts as a number where it is one; in JSONL it does not."""
    if isinstance(raw, list):
        return _numbers_of_list(raw)
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type)):
        return _numbers_of_array(raw)
    text = pc.utf8_trim_whitespace(raw)
    missing = _mask(pc.or_kleene(pc.is_null(text), pc.equal(text, "")))
    try:
        values = np.array(text.cast(pa.float64()), dtype=float)
        wrong = np.zeros(len(values), dtype=bool)
    except pa.ArrowInvalid:
        good = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        unbounded = _mask(pc.match_substring_regex(text, _NOT_FINITE))
        cast = pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.float64())
        values = np.array(cast.to_numpy(zero_copy_only=False), dtype=float)
        wrong = ~_mask(good) & ~missing & ~unbounded
    return _numbers(values, missing, wrong)


def _numbers(values: Floats, missing: Mask, wrong: Mask) -> Numbers:
    not_finite = ~np.isfinite(values) & ~missing & ~wrong
    return Numbers(np.where(np.isfinite(values), values, np.nan), missing, wrong, not_finite)


def _numbers_of_array(raw: Any) -> Numbers:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = _mask(pc.is_null(raw))
    if not (pa.types.is_integer(raw.type) or pa.types.is_floating(raw.type) or pa.types.is_decimal(raw.type)):
        return _numbers(np.full(len(raw), np.nan), missing, ~missing)
    values = np.array(raw.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=float)
    return _numbers(values, missing, np.zeros(len(values), dtype=bool))


def _numbers_of_list(raw: list[Any]) -> Numbers:
    values = np.full(len(raw), np.nan)
    missing, wrong = np.zeros(len(raw), dtype=bool), np.zeros(len(raw), dtype=bool)
    if set(map(type, raw)) <= {int, float}:
        try:
            return _numbers(np.array(raw, dtype=float), missing, wrong)
        except OverflowError:
            pass
    for index, value in enumerate(raw):
        if value is None:
            missing[index] = True
        elif isinstance(value, bool) or not isinstance(value, int | float):
            wrong[index] = True
        else:
            try:
                values[index] = float(value)
            except OverflowError:
                values[index] = math.inf
    return _numbers(values, missing, wrong)


_PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def arrivals(raw: Any) -> Numbers:
    """Read seconds, or dates (ISO 8601; without an offset: UTC), which count from the earliest one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(raw, list):
        if not any(isinstance(value, str) for value in raw):
            return numbers(raw)
        raw = pa.array([_utf8(value) if isinstance(value, str) else None for value in raw], pa.string())
    if pa.types.is_timestamp(raw.type):
        return _since_first(raw.cast(pa.int64()), _mask(pc.is_null(raw)), _PER_SECOND[raw.type.unit])
    if not (pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type)):
        return numbers(raw)
    if not bool(pc.any(pc.match_substring_regex(raw, r"^\s*\d{4}-\d\d-\d\d[ T]\d\d:")).as_py()):
        return numbers(raw)
    text = pc.utf8_trim_whitespace(raw)
    missing = _mask(pc.or_kleene(pc.is_null(text), pc.equal(text, "")))
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return _since_first(text.cast(kind).cast(pa.int64()), missing)
        except pa.ArrowInvalid:
            continue
    return _since_first(pa.array([_nanoseconds(value) for value in text.to_pylist()], pa.int64()), missing)


def _since_first(ticks: Any, missing: Mask, per_second: float = 1e9) -> Numbers:
    import pyarrow.compute as pc

    parsed = ~_mask(pc.is_null(ticks))
    whole = np.array(pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    values = np.full(len(whole), np.nan)
    if parsed.any():
        first = whole[parsed].min()
        values[parsed] = (whole[parsed].view(np.uint64) - first.view(np.uint64)) / per_second  # no overflow
    return _numbers(values, missing, ~parsed & ~missing)


def _nanoseconds(text: str | None) -> int | None:
    match = _DATE.fullmatch(text or "")
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    whole = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    nanoseconds = whole * 10**9 + int((fraction or "0").ljust(9, "0"))
    return nanoseconds if abs(nanoseconds) < 2**63 else None


def names(raw: Any) -> tuple[Ints, tuple[str, ...], Mask]:
    """Read adapter names: an index into the names in order of appearance, -1 where there is none.

    Returns:
        index (rows,), the names, and a mask of values that cannot be a name (not text, a line break, too
        long).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(raw, list):
        wrong = np.array(
            [not (v is None or (isinstance(v, str | int) and not isinstance(v, bool))) for v in raw],
            dtype=bool,
        )
        raw = pa.array(
            [None if bad or v is None else _utf8(v) for v, bad in zip(raw, wrong, strict=True)], pa.string()
        )
    else:
        wrong = np.zeros(len(raw), dtype=bool)
        try:
            raw = raw.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return np.full(len(raw), -1, dtype=np.int64), (), np.ones(len(raw), dtype=bool)
    encoded = raw.dictionary_encode()
    words = encoded.dictionary.to_pylist()
    place: dict[str, int] = {}
    lookup = np.array([_place(word, place) for word in words] or [-1], dtype=np.int64)
    codes = np.array(pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    index = np.where(_mask(pc.is_null(raw)), -1, lookup[codes] if len(words) else -1)
    return np.where(index == _WRONG, -1, index), tuple(place), wrong | (index == _WRONG)


_WRONG: Final = -2
_LONGEST_NAME: Final = 256


def _place(word: str, place: dict[str, int]) -> int:
    if word in ("", "base"):
        return -1
    if not is_name(word):
        return _WRONG
    return place.setdefault(word, len(place))


def is_name(word: str) -> bool:
    """Whether a text can name an adapter in a file: printable, at most 256 characters."""
    return word.isprintable() and 0 < len(word) <= _LONGEST_NAME


def _utf8(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def id_lists(raw: Any) -> tuple[list[Sequence[int]], Mask]:
    """Read lists of block ids: whole numbers, or texts (hashes), which are numbered as they appear.

    In a CSV a list is written as numbers with blanks between them, or as a JSON list. Empty or missing: no
    ids.

    Returns:
        one sequence a row, and a mask of values that are no list of ids.
    """
    values = raw if isinstance(raw, list) else raw.to_pylist()
    numbered: dict[str, int] = {}
    lists: list[Sequence[int]] = []
    wrong = np.zeros(len(values), dtype=bool)
    for index, value in enumerate(values):
        ids = _ids(value, numbered)
        wrong[index] = ids is None
        lists.append(ids or ())
    return lists, wrong


def _ids(value: Any, numbered: dict[str, int]) -> Sequence[int] | None:
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            value = (
                json.loads(value) if value.lstrip().startswith("[") else [int(word) for word in value.split()]
            )
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list):
        return None
    kinds = set(map(type, value))
    if kinds <= {int}:
        return value if all(-(2**63) <= one < 2**63 for one in value) else None
    if kinds == {str}:
        return [numbered.setdefault(word, len(numbered)) for word in value]
    return None


def _mask(array: Any) -> Mask:
    import pyarrow.compute as pc

    return np.array(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=bool)
