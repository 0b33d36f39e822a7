"""The states of one replica in a stretch of time, in so many parts, with the peaks kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from advisor.errors import InputError
from advisor.inside.run import Inside
from advisor.sim.result import Floats, Series

PARTS: Final = 240
"""Of a chart as wide as a page: two or three pixels each."""
QUANTITIES: Final = ("running", "waiting", "kv_share", "adapters_running", "slots_filled")


@dataclass(frozen=True, slots=True)
class States:
    """Least, mean and most of each quantity in each part of a stretch.

    Attributes:
        edges_s: (parts + 1,) on the trace's clock.
        low, mean, high: by quantity, (parts,); means are over time. `kv_share` is of the replica's KV blocks,
            the others are counts.
    """

    edges_s: Floats
    low: dict[str, Floats]
    mean: dict[str, Floats]
    high: dict[str, Floats]


def states_of(
    inside: Inside, replica: int = 0, from_s: float = 0.0, to_s: float | None = None, parts: int = PARTS
) -> States:
    """Thin the states of one replica.

    Between events a quantity is what the last one left; KV blocks in use grow with each step, and are as of
    the events here.

    Args:
        inside: the simulated pool.
        replica: which one.
        from_s: where the stretch begins.
        to_s: where it ends; None: with the last step.
        parts: how many.

    Raises:
        InputError: no such replica, or an empty stretch.
    """
    if not 0 <= replica < inside.replicas:
        raise InputError(f"replica is {replica}; allowed: 0 to {inside.replicas - 1}.")
    end_s = inside.result.end_s if to_s is None else to_s
    if not end_s > from_s:
        raise InputError(f"the stretch is {from_s:g} s to {end_s:g} s; allowed: an end after its beginning.")
    series, blocks = inside.result.series[replica], max(inside.setup.kv_blocks, 1)
    edges = np.linspace(from_s, end_s, parts + 1)
    low, mean, high = {}, {}, {}
    for name in QUANTITIES:
        values = series.kv_blocks_used / blocks if name == "kv_share" else getattr(series, name)
        low[name], mean[name], high[name] = _thinned(series, values.astype(np.float64), edges)
    return States(edges, low, mean, high)


def _thinned(series: Series, values: Floats, edges: Floats) -> tuple[Floats, Floats, Floats]:
    """Least, mean over time and most between each two edges of a quantity that holds from event to event."""
    times = np.concatenate(([-np.inf], series.time_s))
    held = np.concatenate(([0.0], values))  # idle before the first event
    place = np.searchsorted(times, edges, side="right") - 1
    areas = np.concatenate(([0.0, 0.0], np.cumsum(np.diff(times[1:]) * held[1:-1]))) if len(values) else None
    low, high = np.empty(len(edges) - 1), np.empty(len(edges) - 1)
    for part, (first, last) in enumerate(pairwise(place)):
        inside = held[first : last + 1]
        low[part], high[part] = inside.min(), inside.max()
    if areas is None:
        return low, np.zeros(len(edges) - 1), high
    since = np.where(place > 0, edges - np.where(place > 0, times[place], 0.0), 0.0)
    area = areas[place] + since * held[place]
    return low, np.diff(area) / np.diff(edges), high
