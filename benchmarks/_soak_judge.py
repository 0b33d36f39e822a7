"""When a soak has found a leak: the rules, apart from what is measured.

Memory: the first third of the samples is left out, for caches to fill. It is a leak if the median of the
last third is above that of the middle third by more than 2 % and 4 MiB. Medians forgive a peak; a slope alone
would be judged by its noise. In an hour they lie 20 minutes apart, so that a server of 400 MiB may grow by
0.4 MiB a minute unseen, and no more.
Counts: an idle server must not hold more of anything than before, but for records, which have a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError

MIB = 2.0**20
RISE = 0.02
RISE_MIB = 4.0
FEWEST = 12
BOUNDED = ("step_records", "resident_memory_bytes")
"""What an idle server may hold more of; resident memory has a rule of its own."""

Sample = tuple[float, int]
"""(seconds, resident bytes)"""


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident memory of one process in MiB: its first sample, medians of the later thirds, slope of both."""

    first: float
    middle: float
    last: float
    per_minute: float
    half_width: float  # of the slope's 95 % interval

    @property
    def leaks(self) -> bool:
        """Whether it went on growing once its caches were full."""
        rise = self.last - self.middle
        return rise > RISE_MIB and rise > RISE * self.middle


def growth(samples: Sequence[Sample]) -> Growth:
    """Thirds by number of samples, so that a process that was stopped for a while does not count.

    Samples of one process follow each other closely, so that least squares over all of them would look far
    too sure: the slope's interval is that of the mean of the slopes between seven evenly spaced instants.

    Raises:
        InputError: too few samples.
    """
    if len(samples) < FEWEST:
        raise InputError(
            f"soak: {len(samples)} readings of memory; allowed: at least {FEWEST}. Run it longer."
        )
    points: NDArray[np.float64] = np.asarray(samples, dtype=np.float64)
    points[:, 1] /= MIB
    third = len(points) // 3
    late = points[third:]
    instants = np.linspace(late[0, 0], late[-1, 0], 7)
    each = np.diff(np.interp(instants, late[:, 0], late[:, 1])) / np.diff(instants / 60.0)
    return Growth(
        first=float(points[0, 1]),
        middle=float(np.median(points[third : 2 * third, 1])),
        last=float(np.median(points[2 * third :, 1])),
        per_minute=float(each.mean()),
        half_width=float(2.571 * each.std(ddof=1) / np.sqrt(len(each))),  # t of 5 degrees of freedom
    )


def findings(before: Mapping[str, int], after: Mapping[str, int], memory: Mapping[str, Growth]) -> list[str]:
    """A sentence for each leak; none: the soak is passed."""
    found = [
        f"{name} grows: {one.middle:.0f} MiB in the middle third, {one.last:.0f} MiB in the last."
        for name, one in memory.items()
        if one.leaks
    ]
    found += [
        f"the idle server holds {after[name]} {name}, and held {count} before."
        for name, count in before.items()
        if name not in BOUNDED and after[name] > count
    ]
    return found
