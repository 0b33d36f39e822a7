"""Human units ("500ms", "24GiB", "2.5 USD/h"), parsed in this one place into seconds, bytes and dollars.

A bare number for a dimensional field is refused with the unit to write, because 500 could be
milliseconds or seconds and a wrong guess is a wrong answer.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer

DASH: Final = "–"
"""What stands where there is no number."""

_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z$µμ/]+)\s*", re.ASCII)
_LONGEST: Final = 40  # characters of a quantity; keeps the pattern's work small on absurd input

_UNITS: Final[dict[str, dict[str, float]]] = {
    "duration": {
        "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
    },
    "price per hour": {"USD/h": 1.0, "$/h": 1.0, "USD/hour": 1.0, "USD/s": 3600.0, "USD/month": 1 / 730.0},
    "price per million tokens": {"USD/Mtok": 1.0, "$/Mtok": 1.0, "USD/ktok": 1000.0},
    "rate": {"req/s": 1.0, "rps": 1.0, "/s": 1.0, "req/min": 1 / 60.0, "req/h": 1 / 3600.0},
}  # fmt: skip
_EXAMPLE: Final[dict[str, str]] = {
    "duration": "500ms or 2s",
    "price per hour": "2.5 USD/h",
    "price per million tokens": "0.2 USD/Mtok",
    "rate": "12 req/s",
}


def parse(text: object, kind: str) -> float:
    """Read a quantity of the given kind ("duration", "rate", ...) into its base unit.

    Raises:
        ValueError: a bare number, an unknown unit, or not a finite number; the message says what to write.
    """
    units = _UNITS[kind]
    match = _NUMBER.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if match is None or match.group(2) not in units:
        raise ValueError(
            f"a {kind} with its unit, such as {_EXAMPLE[kind]} (units: {', '.join(_written(kind))})"
        )
    value = float(match.group(1)) * units[match.group(2)]
    if not math.isfinite(value):
        raise ValueError(f"a finite {kind}, such as {_EXAMPLE[kind]}")
    return value


def duration_text(seconds: float) -> str:
    """Write seconds in the unit that people use; `parse` reads exactly the same number back."""
    ladder = (("h", 3600.0, 0), ("min", 60.0, 0), ("s", 1.0, 3), ("ms", 1e-3, 3), ("us", 1e-6, 3))
    return _text(seconds, ladder, "s")


def significant(value: float, digits: int = 3) -> str:
    """Write a number with that many significant digits, thousands separated: 0.0123, 1.23, 12,300."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    if rounded and math.floor(math.log10(abs(rounded))) > math.floor(math.log10(abs(value))):
        decimals = max(0, decimals - 1)  # 9.999 becomes 10.0, not 10.00
    return f"{rounded:,.{decimals}f}"


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both with the fewest decimals that show which is larger: 200.4 and 200, never 200 and 200."""
    texts = [f"{value:,.{decimals}f}" for decimals in range(4)]
    apart = (text for text in texts if value == limit or float(text.replace(",", "")) != limit)
    return next(apart, texts[-1]), f"{limit:,.3f}".rstrip("0").rstrip(".")


def _text(value: float, ladder: tuple[tuple[str, float, int], ...], base: str) -> str:
    """Take the first unit that says the value in few decimals and without loss; else the base unit."""
    for unit, factor, decimals in ladder:
        scaled = round(value / factor, decimals)
        if abs(scaled) >= 1 and scaled * factor == value:
            return f"{_number(scaled)}{unit}"
    return f"{_number(value)}{base}"


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _written(kind: str) -> list[str]:
    """The units of a kind, without the second Unicode spelling of µs."""
    return [unit for unit in _UNITS[kind] if unit != "μs"]


def _of(kind: str) -> BeforeValidator:
    def read(value: object) -> float:
        return parse(value, kind)

    return BeforeValidator(read)


def _writes(unit: str) -> PlainSerializer:
    return PlainSerializer(lambda value: f"{_number(value)} {unit}", return_type=str)


Duration = Annotated[float, _of("duration"), PlainSerializer(duration_text, return_type=str), Field(gt=0)]
PricePerHour = Annotated[float, _of("price per hour"), _writes("USD/h"), Field(ge=0)]
PricePerMtok = Annotated[float, _of("price per million tokens"), _writes("USD/Mtok"), Field(ge=0)]
Rate = Annotated[float, _of("rate"), _writes("req/s"), Field(gt=0)]
