"""Burstiness: a rate profile over windows, and below it a conservative cascade of random shares.

The rate of a window is split among its parts by Dirichlet shares, these again, down to a tenth of a second;
inside the finest windows arrivals are Poisson. A split keeps the window's sum, so each level has its own
variance:

    V(w) = (var N - mean N) / (mean N)²        relative variance of the rate at window w, Poisson noise
    taken out 1 + V(part) = (1 + V(whole)) · (1 + v)     v: relative variance of the shares at this level
    v = (m - 1) / (m·α + 1)                    m parts, Dirichlet concentration α

A bursty rate cannot be told from bursty gaps by counts alone; the rate is chosen because it keeps its
meaning when the load is scaled. V < 0 (more regular than Poisson) is taken as 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from advisor.trace.arrivals import Clock
from advisor.trace.describe import counts
from advisor.trace.fitted import ArrivalModel, Level
from advisor.trace.trace import Floats

_WINDOWS_S: Final = (60.0, 10.0, 1.0, 0.1)
_MOST_WINDOWS: Final = 720
_MOST_CELLS: Final = 20_000_000
_FEWEST_WINDOWS: Final = 4
_ROUND: Final = 5
_TICK_TOLERANCE_S: Final = 0.005  # Mooncake timestamps lie within 3 ms of multiples of 3 s


def fit_arrivals(arrival_s: Floats) -> ArrivalModel:
    """Fit profile, cascade and grid.

    Args:
        arrival_s: rising, from 0, shape (requests,); at least two, at different times.
    """
    span_s = float(arrival_s[-1])
    rate_rps = (len(arrival_s) - 1) / span_s
    tick_s = tick_of(arrival_s)
    if tick_s:
        arrival_s = (
            np.rint(arrival_s / tick_s) * tick_s
        )  # a jitter of 1 ms must not move arrivals between windows
    top, parts = _windows(tick_s, span_s)
    above = max(0.0, relative_variance(arrival_s, top))
    levels = []
    window_s = top
    for number in parts:
        window_s /= number
        here = relative_variance(arrival_s, window_s)
        share_variance = (1 + here) / (1 + above) - 1
        levels.append(Level(parts=number, concentration=_concentration(share_variance, number)))
        above = max(here, above)
    profile = _profile(arrival_s, top, rate_rps)
    return ArrivalModel(
        rate_rps=rate_rps,
        duration_s=span_s,
        window_s=top,
        profile=profile,
        levels=tuple(levels),
        tick_s=tick_s,
    )


def tick_of(arrival_s: Floats) -> float:
    """Whole seconds of which all arrivals (requests,) are multiples, to 5 ms; 0 where there are none."""
    whole = np.rint(arrival_s)
    if len(arrival_s) < 2 or np.abs(arrival_s - whole).max() > _TICK_TOLERANCE_S:
        return 0.0
    return float(np.gcd.reduce(whole.astype(np.int64)))


def relative_variance(arrival_s: Floats, window_s: float) -> float:
    """V(w) of this module's docstring, a bare ratio; 0 where there are fewer than four whole windows.

    Args:
        arrival_s: rising, shape (requests,).
        window_s: w.
    """
    number = counts(arrival_s, window_s)
    if len(number) < _FEWEST_WINDOWS or not number.any():
        return 0.0
    return float((number.var() - number.mean()) / number.mean() ** 2)


def cascade_clock(model: ArrivalModel, rate_rps: float, duration_s: float, rng: np.random.Generator) -> Clock:
    """Draw the rate and return its clock: exactly rate · duration expected arrivals in all.

    The profile starts over where the drawn time is longer than the fitted one.
    """
    windows = int(np.ceil(duration_s / model.window_s))
    rates = np.resize(np.asarray(model.profile), windows)
    if not rates.any():
        rates = np.ones(windows)
    width_s = model.window_s
    for level in model.levels:
        if len(rates) * level.parts > _MOST_CELLS:
            break
        rates = (rates[:, None] * _shares(level, len(rates), rng)).ravel()
        width_s /= level.parts
    return clock_of(rates, width_s, duration_s, rate_rps * duration_s)


def clock_of(rates: Floats, width_s: float, duration_s: float, total: float) -> Clock:
    """A clock from rates in windows of one width, cut at `duration_s`, with `total` expected arrivals.

    Args:
        rates: of the windows, in any unit, since the total scales them, shape (windows,).
        width_s: of one window.
        duration_s: where the clock ends.
        total: expected arrivals up to there. All rates 0: they come evenly.
    """
    edges = np.arange(len(rates) + 1) * width_s
    expected = np.concatenate(([0.0], np.cumsum(rates)))
    cut = np.append(edges[edges < duration_s], duration_s)
    expected = np.interp(cut, edges, expected)
    if expected[-1] <= 0:
        expected = cut / duration_s
    return Clock(cut, expected * (total / expected[-1]))


def _shares(level: Level, windows: int, rng: np.random.Generator) -> Floats:
    """Shares (windows, parts) of mean 1."""
    if level.concentration is None:
        return np.ones((windows, level.parts))
    weights = rng.standard_gamma(level.concentration, (windows, level.parts))
    sums = weights.sum(axis=1, keepdims=True)
    even = np.where(sums > 0, 0.0, 1.0)
    return np.asarray((weights + even) / (sums + even * level.parts) * level.parts, dtype=float)


def _concentration(share_variance: float, parts: int) -> float | None:
    """α with v = (m - 1) / (m·α + 1), v at most 0.95 of its bound m - 1."""
    if share_variance <= 0:
        return None
    variance = min(share_variance, 0.95 * (parts - 1))
    return round(((parts - 1) / variance - 1) / parts, _ROUND)


def _windows(tick_s: float, span_s: float) -> tuple[float, tuple[int, ...]]:
    """Seconds of the profile's window, then the number of parts at each level below."""
    chain = [20 * tick_s, 4 * tick_s, tick_s] if tick_s > 1 else list(_WINDOWS_S)
    if span_s / chain[0] > _MOST_WINDOWS:
        chain.insert(0, chain[0] * float(np.ceil(span_s / chain[0] / _MOST_WINDOWS)))
        if chain[0] == chain[1]:
            chain.pop(0)
    return chain[0], tuple(round(a / b) for a, b in pairwise(chain))


def _profile(arrival_s: Floats, window_s: float, rate_rps: float) -> tuple[float, ...]:
    """Counts over their mean, shrunk towards 1 so that Poisson noise is not taken for drift."""
    number = np.bincount((arrival_s // window_s).astype(np.int64)).astype(float)
    widths = np.full(len(number), window_s)
    widths[-1] = max(arrival_s[-1] - window_s * (len(number) - 1), 0.1 * window_s)
    relative = number / (rate_rps * widths)
    noise = 1 / (rate_rps * window_s)
    keep = np.sqrt(max(0.0, 1 - noise / relative.var())) if relative.var() > 0 else 0.0
    return tuple(np.round(np.maximum(1 + keep * (relative - 1), 0.0), _ROUND).tolist())
