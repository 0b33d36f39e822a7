"""Raw data from a YAML or JSON file on its way to a model: what JSON cannot say is named, not passed on."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from advisor.fieldpath import Path, path_text
from advisor.problem import Problem

_DEEPEST: Final = 100  # levels; a scenario has fewer than ten
_MOST: Final = 10_000_000  # values once YAML's aliases are written out; a profile has some thousands
_LARGEST: Final = 10**300  # integers above have no float


def as_json(raw: Any, source: str) -> tuple[str | None, list[Problem]]:
    """Return `raw` as strict JSON text, and the problems of what does not fit (written as null).

    No text comes back where there is nothing to read on: endless or absurdly large data.
    """
    excess = _excess(raw)
    if excess:
        return None, [Problem(source, text=excess)]
    try:
        text = json.dumps(raw, allow_nan=False, default=_plain)
        if "\\ud" not in text:  # half of a surrogate pair, perhaps
            return text, []
    except (ValueError, TypeError):
        pass
    problems: list[Problem] = []
    return json.dumps(_fit(raw, (), source, problems)), problems


def in_file_order(problems: Iterable[Problem], raw: Any) -> list[Problem]:
    """Sort problems by where their fields stand in `raw`; what is missing comes after its neighbours."""
    places = dict(_places(raw, (), ()))

    def place(problem: Problem) -> tuple[float, ...]:
        field = problem.field
        while field and field not in places:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return (*places.get(field, ()), *(() if field == problem.field else (math.inf,)))

    return sorted(problems, key=place)


def _excess(raw: Any) -> str:
    """Say if the data has no end, or is too deep or too large; the cost is linear in its unique values."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: Any) -> int:
        if not isinstance(node, dict | list | tuple):
            return 1
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_:
            raise ValueError("refers to itself; allowed: data that ends. Remove the alias")
        if len(open_) >= _DEEPEST:
            raise ValueError(f"is nested deeper than {_DEEPEST} levels")
        open_.add(id(node))
        total = 1 + sum(map(size, node.values() if isinstance(node, dict) else node))
        open_.remove(id(node))
        if total > _MOST:
            raise ValueError(f"holds more than {_MOST:,} values")
        sizes[id(node)] = total
        return total

    try:
        size(raw)
    except ValueError as error:
        return str(error)
    return ""


def _places(raw: Any, path: Path, place: tuple[float, ...]) -> Iterator[tuple[str, tuple[float, ...]]]:
    yield path_text(path), place
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list | tuple) else ()
    for order, (key, value) in enumerate(pairs):
        yield from _places(value, (*path, key), (*place, order))


def _plain(value: object) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _fit(value: Any, path: Path, source: str, problems: list[Problem]) -> Any:
    """Return a copy that JSON can say; each value that it cannot becomes None and a problem."""
    if isinstance(value, dict):
        for key in value:
            if not (key is None or isinstance(key, str | int | float)) or _refusal(key):
                problems.append(
                    Problem(source, path_text(path), text=f"has the key {key!r:.60}; allowed: text")
                )
        return {str(key): _fit(item, (*path, str(key)), source, problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(item, (*path, i), source, problems) for i, item in enumerate(value)]
    refusal = _refusal(value)
    if refusal:
        problems.append(Problem(source, path_text(path), value, refusal))
        return None
    return value if value is None or isinstance(value, str | int | float) else _plain(value)


def _refusal(value: Any) -> str:
    """Return the rule that a scalar breaks, or nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a number below 1e300"
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return "valid Unicode text"
    if value is None or isinstance(value, str | int | float | datetime.date | datetime.time):
        return ""
    return f"a mapping, list, text, number, true, false or null, not {type(value).__name__}"
