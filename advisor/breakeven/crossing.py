"""Where a curve crosses a level, and the interval of crossings over draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


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


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The values that 5 % and 95 % of the draws do not exceed (not interpolated: some may be infinite)."""
    ordered = np.sort(np.asarray(values, dtype=float))
    low, high = (int(np.ceil(share * len(ordered))) - 1 for share in (0.05, 0.95))
    return float(ordered[max(low, 0)]), float(ordered[max(high, 0)])


def finite(value: float | None) -> float | None:
    """A number for JSON: None where it is infinite."""
    return None if value is None or not math.isfinite(value) else value
