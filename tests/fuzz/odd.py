"""Values that break readers: what no file of this kind should hold, and some that parsers choke on."""

from __future__ import annotations

from typing import Any


def deep(levels: int) -> Any:
    """A number in so many lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


NUMBERS: list[Any] = [-1, 0, 0.5, 5e-324, 1e308, -1e308, float("nan"), float("inf"), 2**63, 2**70, 10**400]
TEXTS: list[Any] = ["", "x" * 300, "9" * 5000, "1e999", "nan", "\x00", "\x1b[2J", "\ud800"]
OTHERS: list[Any] = [None, True, [], {}, [[]], [None], [1, "a"], {"a": []}, deep(60), deep(200)]
ODD: list[Any] = [*NUMBERS, *TEXTS, *OTHERS]
KEYS: list[str] = ["", "kind", "rate", "é", "__class__"]
