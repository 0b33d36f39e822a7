"""When requests come: arrival laws as a unit-rate process on an operational clock, turned into seconds.

A clock Λ(t) is the expected number of arrivals up to t. Arrivals are Λ⁻¹ of the points of a unit-rate
process, so a law changed by a factor moves the same points (Çınlar 1975, Introduction to Stochastic
Processes, section 4.7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.spec.workload import Arrivals, DiurnalArrivals, GammaArrivals, OnOffArrivals, PoissonArrivals
from advisor.trace.draw import checked_count, generator
from advisor.trace.trace import Floats

_CYCLE_KNOTS: Final = 4096  # piecewise-linear clock of a cycle: error below 1e-6 of the period
_MOST_PHASES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Λ(t), expected arrivals up to t, as a line through knots from (0, 0) on; both axes rise or stay.

    Attributes:
        time_s: of the knots, the last at the end of the drawn time, shape (knots,).
        expected: arrivals up to there, shape (knots,).
    """

    time_s: Floats
    expected: Floats

    @property
    def total(self) -> float:
        """Expected arrivals in all."""
        return float(self.expected[-1])

    def seconds(self, points: Floats) -> Floats:
        """Seconds at which so many arrivals are expected, Λ⁻¹ of each point; same shape as `points`.

        Points of a unit-rate process under Λ⁻¹ are one of rate dΛ/dt (Çinlar 1975, time change). Where Λ
        stays level, the last knot of the level.
        """
        return np.interp(points, self.expected, self.time_s)


def arrival_times(law: Arrivals, duration_s: float, seed: int, stream: int = 0) -> Floats:
    """Seconds of the arrivals in [0, duration_s), rising, shape (requests,).

    Raises:
        InputError: the law gives more than 20 million requests.
    """
    checked_count(_mean_rate(law) * duration_s)
    clock = _clock(law, duration_s, seed, stream)
    checked_count(clock.total)
    cv = law.cv if isinstance(law, GammaArrivals) else 1.0
    return clock.seconds(unit_renewals(cv, clock.total, generator(seed, "gaps", stream)))


def unit_renewals(cv: float, horizon: float, rng: np.random.Generator) -> Floats:
    """Points below `horizon` of a stationary renewal process with mean gap 1 and Gamma gaps.

    Gamma gaps of mean 1 and coefficient of variation cv have shape k = 1/cv² and scale cv². The first point
    of a stationary process lies at U·G, U uniform and G the length-biased gap, which is Gamma of shape k +
    1 (Cox 1962, Renewal Theory, section 5.2). Without this, a bursty process brings (cv² - 1)/2 requests
    too many.
    """
    shape, scale = cv**-2, cv**2
    points = [np.array([rng.random() * rng.gamma(shape + 1.0, scale)])]
    last = float(points[0][0])
    while last < horizon:
        more = int(1.1 * (horizon - last)) + 64
        gaps = rng.standard_exponential(more) if cv == 1.0 else rng.gamma(shape, scale, more)
        points.append(np.cumsum(np.concatenate(([last], gaps)))[1:])
        last = float(points[-1][-1])
    every = np.concatenate(points)
    return every[every < horizon]


def _mean_rate(law: Arrivals) -> float:
    match law:
        case PoissonArrivals() | GammaArrivals():
            return law.rate
        case OnOffArrivals():
            return law.rate_on * law.mean_on / (law.mean_on + law.mean_off)
        case DiurnalArrivals():
            return law.mean_rate


def _clock(law: Arrivals, duration_s: float, seed: int, stream: int) -> Clock:
    match law:
        case PoissonArrivals() | GammaArrivals():
            return Clock(np.array([0.0, duration_s]), np.array([0.0, law.rate * duration_s]))
        case OnOffArrivals():
            return _on_off(law, duration_s, generator(seed, "phases", stream))
        case DiurnalArrivals():
            return _diurnal(law, duration_s)


def _on_off(law: OnOffArrivals, duration_s: float, rng: np.random.Generator) -> Clock:
    """Exponential phases, in their steady state from the start."""
    checked_count(2 * duration_s / (law.mean_on + law.mean_off))  # a phase costs about as much as a request
    on = bool(rng.random() < law.mean_on / (law.mean_on + law.mean_off))
    times, expected = [0.0], [0.0]
    while times[-1] < duration_s:
        length = float(rng.exponential(law.mean_on if on else law.mean_off))
        end = min(times[-1] + length, duration_s)
        expected.append(expected[-1] + (law.rate_on * (end - times[-1]) if on else 0.0))
        times.append(end)
        on = not on
    return Clock(np.array(times), np.array(expected))


def _diurnal(law: DiurnalArrivals, duration_s: float) -> Clock:
    cycles = int(np.ceil(duration_s / law.period))
    knots = max(16, min(_CYCLE_KNOTS, _MOST_PHASES // cycles))
    checked_count(float(cycles) * 16)
    angle = 2 * np.pi / law.period

    def expected(time_s: Floats) -> Floats:
        swing = np.sin(angle * (time_s - law.peak_at)) + np.sin(angle * law.peak_at)
        return np.asarray(law.mean_rate * (time_s + law.amplitude / angle * swing), dtype=float)

    return sampled(expected, duration_s, knots * cycles)


def sampled(expected: Callable[[Floats], Floats], duration_s: float, knots: int) -> Clock:
    """A clock through `knots` + 1 points of Λ, evenly spaced over `duration_s`.

    Args:
        expected: Λ: seconds (knots + 1,) to expected arrivals of the same shape.
        duration_s: end of the last piece.
        knots: pieces of the line.
    """
    time_s = np.linspace(0.0, duration_s, knots + 1)
    return Clock(time_s, np.maximum.accumulate(expected(time_s)))
