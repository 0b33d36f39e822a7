"""How many replicas a load takes, from what small pools carry; and the load from which on merging pays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.breakeven.capacity import SIZES

Floats = NDArray[np.float64]

_ROUNDING = 1e-9
FAINT = 1e-3
"""Share of the load by which a merged replica must carry more than a multi-LoRA one."""
_BLOCK = 1_000_000


def replicas_for(load_rps: Floats, carried_rps: Sequence[float]) -> Floats:
    """Fewest replicas that carry each load, at least 1; infinite where one carries nothing.

    Args:
        load_rps: any shape.
        carried_rps: what pools of `SIZES` carry; sizes between lie between, and a larger pool carries in
            proportion to the largest.
    """
    steps = steps_of(carried_rps)
    each = steps[-1] / len(steps)
    if each <= 0:
        return np.full(np.shape(load_rps), np.inf)
    few = np.searchsorted(steps, load_rps * (1 - _ROUNDING)) + 1.0
    many = np.maximum(np.ceil(load_rps / each - _ROUNDING), len(steps) + 1.0)
    counted: Floats = np.where(few <= len(steps), few, many)
    return counted


def steps_of(carried_rps: Sequence[float]) -> Floats:
    """Requests/s that 1, 2, ... replicas carry, shape (largest of SIZES,), never falling.

    Args:
        carried_rps: found by simulation, one for each of SIZES; between them a straight line.
    """
    sizes = np.arange(1, SIZES[-1] + 1, dtype=float)
    steps: Floats = np.maximum.accumulate(np.interp(sizes, SIZES, carried_rps))
    return steps


def merged_replicas(load_rps: Floats, shares: Floats, carried_rps: Sequence[float]) -> Floats:
    """Replicas of all merged pools together at each load, shape (loads,).

    Args:
        load_rps: of all adapters together, requests/s, shape (loads,).
        shares: of the requests, one for each merged adapter and so pool, shape (adapters,).
        carried_rps: what SIZES replicas of one pool carry, requests/s.
    """
    total: Floats = replicas_for(load_rps[:, None] * shares[None, :], carried_rps).sum(axis=1)
    return total


def merging_pays_from(
    shares: Sequence[float], multi_lora_rps: Sequence[float], merged_rps: Sequence[float]
) -> float | None:
    """Load from which on merging never takes more replicas than multi-LoRA; None: there is none.

    Both are staircases in the load. A merged pool wastes at most w replicas beside a load spread evenly, so
    that above K w / (1/multi - 1/merged), with K pools and what a replica of a large pool carries, merging
    takes no more; below, every step is looked at, from above. What carries only `FAINT` more is taken for
    equal: its crossing would lie at a load that nobody has.

    Args:
        shares: of the load, one a merged pool (base requests have one too).
        multi_lora_rps: what multi-LoRA pools of `SIZES` carry; 0: none holds.
        merged_rps: what merged pools carry.
    """
    multi, merged = multi_lora_rps[-1] / SIZES[-1], merged_rps[-1] / SIZES[-1]
    if merged <= 0:
        return None
    if multi <= 0:
        return 0.0
    if multi * (1.0 + FAINT) >= merged:
        return None
    weights = np.asarray([share for share in shares if share > 0])
    most = len(shares) * _waste(merged_rps) / (1 / multi - 1 / merged)
    ends = _ends(most, np.ones(1), multi_lora_rps), _ends(most, weights, merged_rps)
    loads = np.unique(np.concatenate(ends))[::-1]
    idle = len(shares) - len(weights)
    block = max(1, _BLOCK // len(weights))
    for start in range(0, len(loads), block):
        some = loads[start : start + block]
        together = merged_replicas(some, weights, merged_rps) + idle
        dearer = some[together > replicas_for(some, multi_lora_rps)]
        if len(dearer):
            return float(dearer[0])
    return 0.0


def _waste(carried_rps: Sequence[float]) -> float:
    """Most replicas that a pool has above its load over what a replica of a large pool carries."""
    steps = np.concatenate(([0.0], steps_of(carried_rps)))
    each = carried_rps[-1] / SIZES[-1]
    return float(max(1.0, (np.arange(1, len(steps) + 1) - steps / each).max()))


def _ends(most_rps: float, shares: Floats, carried_rps: Sequence[float]) -> Floats:
    """Loads at which one of these pools is full, up to the first beyond `most_rps`."""
    steps, each = steps_of(carried_rps), carried_rps[-1] / SIZES[-1]
    found = [steps[steps > 0, None] / shares[None, :]]
    for share in shares:
        last = math.ceil(most_rps * share / each) + 1
        found.append((np.arange(len(steps) + 1, last + 1) * each / share)[:, None])
    return np.concatenate([part.ravel() for part in found])
