"""Measured curves, turned once into plain lists that the simulator can index.

An engine step has a whole number of tokens below a known budget, so each curve is evaluated at
every whole number in advance: a look-up in the inner loop instead of an interpolation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.profile import Curve


def at_every_count(curve: Curve, up_to: int) -> list[float]:
    """Seconds at 0, 1, ..., `up_to`; nothing at 0, never falling, linear between and beyond the points.

    A larger step is never faster on a real engine (it could pad), so a table's dips, which are
    noise or a kernel switch, are levelled to the running maximum. Beyond the last point the slope
    of the last quarter of the x range goes on (compute-bound: time is linear in tokens).
    """
    x, y = np.asarray(curve.x), np.maximum.accumulate(np.asarray(curve.y_s))
    table: list[float] = _extended(np.arange(up_to + 1, dtype=np.float64), x, y).tolist()
    return table


def by_count(x: tuple[float, ...], values: tuple[float, ...], up_to: int) -> list[float]:
    """Values at 0, 1, ..., `up_to`, linear between the points, held at both ends."""
    return np.interp(np.arange(up_to + 1, dtype=np.float64), x, values).tolist()


def staircase(values: list[float], sizes: tuple[int, ...]) -> list[float]:
    """Each count pays for the next captured graph size; counts above the largest pay for themselves."""
    if not sizes:
        return values
    counts = np.arange(len(values))
    steps = np.asarray(sorted(sizes))
    place = np.searchsorted(steps, counts)
    padded = np.where(place < len(steps), steps[np.minimum(place, len(steps) - 1)], counts)
    padded[0] = 0
    paid: list[float] = np.asarray(values)[np.minimum(padded, len(values) - 1)].tolist()
    return paid


def _extended(at: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.interp(at, x, y)
    if len(x) > 1:
        anchor = min(int(np.searchsorted(x, 0.75 * x[-1])), len(x) - 2)
        slope = (y[-1] - y[anchor]) / (x[-1] - x[anchor])
        result = np.where(at > x[-1], y[-1] + slope * (at - x[-1]), result)
    elif len(x) == 1:
        result = np.where(at > x[0], y[0] * at / x[0], result)
    result[at == 0] = 0.0
    return result
