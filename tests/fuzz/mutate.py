"""How the guided fuzzer changes a content: mostly where its form lets it, so that parsers let it through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final

import numpy as np

from tests.fuzz.forms import FORMS, FormName
from tests.fuzz.odd import KEYS, ODD

_RAW: Final = 4  # one mutation in so many changes bytes
_ANEW: Final = 4
_NESTED: Final = 16  # and of those one in so many nests deeper than Python recurses
_NESTS: Final = (b"[" * 1500 + b"]" * 1500, b'{"a":' * 1500)
_MOST_CHANGES: Final = 4
_MOST_TEXT: Final = 6000
_MOST_VALUES: Final = 2000
_REPEATS: Final = (2, 10, 200)
_SPLICES: Final = (
    "",
    " ",
    "\n",
    ",",
    "-",
    "+",
    ".",
    "e",
    "0",
    "1",
    "9" * 30,
    "\x00",
    "\ud800",
    '"',
    "{",
    "é",
)
_FACTORS: Final = (-1, 0.5, 2, 10, 1000, 1e-3, 1e6, 1e300)


class Mutator:
    """Changes contents of one form; the same seed changes the same content in the same way.

    Args:
        form: of the contents.
        good: contents from which some changes begin anew, so that the search stays near what is read.
        raw: libFuzzer's own change of bytes: (content, largest size) -> content.
    """

    def __init__(self, form: FormName, good: Sequence[bytes], raw: Callable[[bytes, int], bytes]) -> None:
        self._form, self._good, self._raw = FORMS[form], good, raw
        self._structured = form != "bytes"

    def __call__(self, content: bytes, most_bytes: int, seed: int) -> bytes:
        """A changed content of at most so many bytes."""
        rng = np.random.default_rng(seed)
        if not rng.integers(_ANEW):
            content = _pick(self._good, rng)
        if self._structured and rng.integers(_RAW):
            try:
                value = self._form.parse(content)
                for _ in range(rng.integers(1, _MOST_CHANGES + 1)):
                    value = changed(value, rng)
                written = self._form.write(value)
            except Exception:  # noqa: BLE001 - not of the form any more; a parser may raise anything
                written = b""
            if 0 < len(written) <= most_bytes:
                return written
        if not rng.integers(_NESTED):
            at = int(rng.integers(len(content) + 1))
            content = content[:at] + _pick(_NESTS, rng) + content[at:]
            return content[:most_bytes]
        return self._raw(content, most_bytes)


def changed(value: Any, rng: np.random.Generator) -> Any:
    """Plain data with one value changed, somewhere; the data itself may be changed in place."""
    place = _place(value, rng)
    if place is None:
        return _other(value, value, rng)
    holder, key = place
    chance = int(rng.integers(8))
    if chance == 0:
        del holder[key]
    elif chance == 1 and isinstance(holder, dict):
        other = _place(value, rng)
        name = other[1] if other is not None and isinstance(other[1], str) else _pick(KEYS, rng)
        holder[name] = holder.pop(key)
    elif chance == 1:
        holder.insert(key, holder[key])
    else:
        holder[key] = _other(holder[key], value, rng)
    return value


def _place(value: Any, rng: np.random.Generator) -> tuple[Any, Any] | None:
    """Some place in the data: a mapping or list, and a key of it."""
    here, found = value, None
    while isinstance(here, dict | list) and here:
        keys = list(here) if isinstance(here, dict) else range(len(here))
        key = keys[int(rng.integers(len(keys)))]
        found = here, key
        here = here[key]
        if not rng.integers(4):
            break
    return found


def _other(value: Any, whole: Any, rng: np.random.Generator) -> Any:
    """Another value in place of one: odd, taken from elsewhere, or nearly the same."""
    chance = int(rng.integers(4))
    if chance == 0:
        return _pick(ODD, rng)
    place = _place(whole, rng)
    if chance == 1 and place is not None and not isinstance(place[0][place[1]], dict | list):
        return place[0][place[1]]
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return _number(value, rng)
    if isinstance(value, str):
        return _text(value, rng)
    if isinstance(value, list):
        return _list(value, rng)
    return [value] if rng.integers(2) else {**value, _pick(KEYS, rng): _pick(ODD, rng)}


def _number(value: float, rng: np.random.Generator) -> Any:
    chance = int(rng.integers(5))
    if chance == 0:
        return str(value)
    if chance == 1:
        return int(rng.integers(-3, 300))
    try:
        return value + int(rng.integers(-2, 3)) if chance == 2 else value * _pick(_FACTORS, rng)
    except OverflowError:
        return 0


def _text(value: str, rng: np.random.Generator) -> Any:
    at, end = sorted(int(place) for place in rng.integers(0, len(value) + 1, 2))
    chance = int(rng.integers(5))
    if chance == 0:
        return value[:at] + value[end:]
    if chance == 1:
        return (value[:end] + value[at:])[:_MOST_TEXT]
    if chance == 2:
        return value[:at] + str(int(rng.integers(-3, 300))) + value[end:]
    if chance == 3:
        return (value[:at] + value[at:end] * _pick(_REPEATS, rng) + value[end:])[:_MOST_TEXT]
    return value[:at] + _pick(_SPLICES, rng) + value[at:]


def _list(value: list[Any], rng: np.random.Generator) -> Any:
    chance = int(rng.integers(4))
    if chance == 0:
        return value[::-1]
    if chance == 1:
        return value * min(int(_pick(_REPEATS, rng)), max(_MOST_VALUES // size(value), 1))
    if chance == 2:
        return value[: int(rng.integers(len(value) + 1))]
    return [value]


def size(value: Any) -> int:
    """Values inside, itself counted."""
    if isinstance(value, dict | list):
        return 1 + sum(map(size, value.values() if isinstance(value, dict) else value))
    return 1


def _pick(among: Any, rng: np.random.Generator) -> Any:
    return deepcopy(among[int(rng.integers(len(among)))])
