"""One JSON object of a load generator's file, read key by key: what it lacks or mistakes is told by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from advisor.errors import InputError
from advisor.problem import ABSENT, Problem

_LARGEST: Final = 1e30
"""Beyond any time or count of a run, and far enough below the largest float that sums stay finite."""
_MOST: Final = 2**53  # a larger count is not exact as a float


@dataclass(frozen=True, slots=True)
class Record:
    """An object of a file that somebody else wrote.

    Every method raises InputError where a value is of another kind than asked for.

    Attributes:
        raw: what the file holds there.
        source: the file and the line or benchmark.
        path: where the object lies inside that, such as `metrics.request_latency`.
    """

    raw: Mapping[str, Any]
    source: str
    path: str = ""

    def block(self, name: str) -> Record:
        """The object under a key."""
        value = self.raw.get(name, ABSENT)
        if not isinstance(value, dict):
            raise self.problem(name, "an object")
        return Record(value, self.source, self._place(name))

    def maybe(self, name: str) -> Record:
        """The object under a key; an empty one where it is missing or null."""
        return self.block(name) if self.has(name) else Record({}, self.source, self._place(name))

    def blocks(self, name: str) -> list[Record]:
        """The objects of a list; none where it is missing or null."""
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.problem(name, "a list of objects")
        return [Record(one, self.source, self._place(f"{name}[{i}]")) for i, one in enumerate(value)]

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self.raw.get(name) is not None

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.raw.get(name, ABSENT)
        if not is_number(value):
            raise self.problem(name, "a finite number")
        return float(value)

    def number_or_none(self, name: str) -> float | None:
        """A finite number; None where it is missing or null."""
        return self.number(name) if self.has(name) else None

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers."""
        value = self.raw.get(name, ABSENT)
        if not isinstance(value, list) or not all(map(is_number, value)):
            raise self.problem(name, "a list of finite numbers")
        return [float(one) for one in value]

    def count(self, name: str) -> int:
        """A whole number of at least 0; 0 where it is missing or null; 10.0 is 10."""
        if not self.has(name):
            return 0
        value = self.raw[name]
        if not is_number(value) or not 0 <= value <= _MOST or value != int(value):
            raise self.problem(name, "a whole number of at least 0")
        return int(value)

    def text(self, name: str) -> str:
        """A text or number as text; empty where it is missing or null."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, str | int | float):
            raise self.problem(name, "text")
        return "" if value is None else str(value)

    def problem(self, name: str, allowed: str) -> InputError:
        """The error that says what stands under a key, and what may."""
        return InputError(Problem(self.source, self._place(name), self.raw.get(name, ABSENT), allowed))

    def _place(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def is_number(value: object) -> bool:
    """Whether this is a number that a run can have: finite, and not absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value) and abs(value) <= _LARGEST
    )
