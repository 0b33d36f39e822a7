"""Where a curve crosses a level."""

from __future__ import annotations

import math
from collections.abc import Sequence


def last_above(x: Sequence[float], margin: Sequence[float]) -> float | None:
    """Largest x up to which the margin is not negative, linear in log x between points.

    Looks for the last point that holds and goes on to where the margin is 0. Infinite where even the last
    point holds, None where none does.
    """
    holding = [index for index, value in enumerate(margin) if value >= 0]
    if not holding:
        return None
    last = holding[-1]
    if last == len(x) - 1:
        return math.inf
    here, after = margin[last], margin[last + 1]
    along = here / (here - after) if here > after else 0.0
    return float(math.exp(math.log(x[last]) + along * (math.log(x[last + 1]) - math.log(x[last]))))


def finite(value: float | None) -> float | None:
    """A number for JSON: None where it is infinite."""
    return None if value is None or not math.isfinite(value) else value
