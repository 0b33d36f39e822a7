"""Numbers for people: three significant digits, the unit that reads best, nothing rounded into a lie."""

from __future__ import annotations

import math

from advisor.spec.quantities import DASH, significant

__all__ = ["DASH", "count", "counted", "duration", "gib", "share", "signed", "significant", "times", "usd"]


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign: +1.23, −0.5, 0."""
    text = significant(abs(value), digits)
    if text in ("0", DASH):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def duration(seconds: float) -> str:
    """Write a time with its unit: 840 µs, 12.3 ms, 1.23 s, 16.9 min."""
    size = abs(seconds)
    if not math.isfinite(seconds):
        return DASH
    if size < 0.9995e-3 and size:
        return f"{significant(seconds * 1e6)} µs"
    if size < 0.9995:
        return f"{significant(seconds * 1e3)} ms"
    if size < 600:
        return f"{significant(seconds)} s"
    return f"{significant(seconds / 60)} min"


def usd(value: float) -> str:
    """Write a price: cents from one dollar on, three digits below."""
    return f"{value:,.2f}" if abs(value) >= 1 or not value else significant(value)


def share(value: float) -> str:
    """Write a share of one in per cent; all but one in a thousand is never called 100 %."""
    percent = value * 100
    if value < 1 and percent >= 99.95:
        return ">99.9"
    if value > 0 and percent < 0.05:
        return "<0.1"
    return "100" if value >= 1 else f"{percent:.1f}"


def gib(size_bytes: float) -> str:
    """Write bytes in GiB with one decimal, two below one."""
    value = size_bytes / 2**30
    return f"{value:,.1f}" if abs(value) >= 1 or not value else f"{value:.2f}"


def count(value: float) -> str:
    """Write a whole number, thousands separated."""
    return f"{round(value):,}"


def counted(number: int, noun: str) -> str:
    """Write a number of things: 1 replica, 2 replicas."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(value: float) -> str:
    """Write a ratio: 1.85×, 12×."""
    return f"{value:,.2f}×" if value < 10 else f"{value:,.0f}×"
