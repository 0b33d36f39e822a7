"""Prefix sharing from statistics: how deep and how old a request's shared start is.

A trace becomes, for each request, its depth (blocks from the start that an earlier request of the same
adapter had) and the age of the latest such request. A regenerated request draws its depth by the length of
its prompt, its age by its depth, and copies that many blocks from an earlier request of about that age; the
rest of its blocks are new. So the hit ratio of an endless cache comes out by construction, and ages make a
finite cache behave alike. System prompts and conversations need no separate treatment: the first are
shallow and young, the second deep and as old as people think.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from advisor.trace.draw import generator
from advisor.trace.fitted import AgeModel, DepthModel, ReuseModel
from advisor.trace.prefixes import lengths_of, ragged, reuse_of
from advisor.trace.trace import Floats, Ints, Prefixes, Trace
from advisor.trace.values import Mask

_LENGTH_BINS: Final = 16
_DEPTH_STEPS: Final = np.linspace(0, 1, 33)
_AGE_STEPS: Final = np.linspace(0, 1, 21)
_AGE_BINS: Final = (0.25, 0.5, 0.75, 1.0)
_FEWEST: Final = 20  # requests behind a quantile table
_NEIGHBOURS: Final = 32


def fit_reuse(trace: Trace) -> ReuseModel | None:
    """Fit a trace's prefix sharing; None where it has no block ids, or shares too little to tell."""
    if trace.prefixes is None:
        return None
    reuse, blocks = reuse_of(trace), lengths_of(trace.prefixes)
    shared = reuse.depth > 0
    if int(shared.sum()) < _FEWEST:
        return None
    share = np.where(shared, reuse.depth / np.maximum(blocks, 1), 0.0)
    return ReuseModel(
        block_tokens=trace.prefixes.block_tokens,
        depths=_depths(blocks, shared, share),
        ages=_ages(share[shared], reuse.age_s[shared]),
    )


def _depths(blocks: Ints, shared: Mask, share: Floats) -> tuple[DepthModel, ...]:
    edges = np.unique(np.quantile(blocks, np.linspace(0, 1, _LENGTH_BINS + 1)[1:-1]).astype(np.int64))
    place = np.searchsorted(edges, blocks, side="left")
    everyone = np.quantile(share[shared], _DEPTH_STEPS)
    models = []
    for index in range(len(edges) + 1):
        here = place == index
        of_bin = share[here & shared]
        table = np.quantile(of_bin, _DEPTH_STEPS) if len(of_bin) >= _FEWEST else everyone
        fresh = float(1 - shared[here].mean()) if here.any() else 0.0
        top = int(edges[index]) if index < len(edges) else None
        models.append(
            DepthModel(
                max_blocks=top, fresh_share=round(fresh, 5), depth_shares=tuple(np.round(table, 5).tolist())
            )
        )
    return tuple(models)


def _ages(share: Floats, age_s: Floats) -> tuple[AgeModel, ...]:
    models = []
    for low, high in zip((0.0, *_AGE_BINS), _AGE_BINS, strict=False):
        ages = age_s[(share > low) & (share <= high)]
        table = np.quantile(ages if len(ages) >= _FEWEST else age_s, _AGE_STEPS)
        models.append(AgeModel(max_share=high, age_s=tuple(np.round(table, 3).tolist())))
    return tuple(models)


@dataclass(slots=True)
class _Past:
    """The requests of one adapter so far."""

    arrival_s: list[float] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)

    def parent(self, time_s: float, depth: int) -> int:
        """The request near `time_s` with at least `depth` blocks and the fewest beyond; else the longest."""
        middle, reach = bisect_left(self.arrival_s, time_s), _NEIGHBOURS
        while True:
            first, last = max(0, middle - reach), min(len(self.blocks), middle + reach)
            fitting = [
                (n - depth, i) for i, n in enumerate(self.blocks[first:last], start=first) if n >= depth
            ]
            if fitting:
                return min(fitting)[1]
            if first == 0 and last == len(self.blocks):
                return self.blocks.index(max(self.blocks))
            reach *= 4

    def add(self, arrival_s: float, ids: list[int]) -> None:
        self.arrival_s.append(arrival_s)
        self.blocks.append(len(ids))
        self.ids.append(ids)


def draw_prefixes(model: ReuseModel, trace: Trace, seed: int) -> Prefixes:
    """Draw block ids for every request of a trace. Costs about 20 µs a request."""
    draws = generator(seed, "reuse").random((len(trace), 3))
    blocks = trace.prompt_tokens // model.block_tokens
    depth, share = _draw_depths(model, blocks, draws)
    age_s = _draw_ages(model, share, draws[:, 2])
    pasts: dict[int, _Past] = {}
    lists: list[list[int]] = []
    fresh = 0
    for request, (adapter, arrival_s) in enumerate(
        zip(trace.adapter.tolist(), trace.arrival_s.tolist(), strict=True)
    ):
        past = pasts.setdefault(adapter, _Past())
        ids: list[int] = []
        if depth[request] and past.ids:
            ids = past.ids[past.parent(arrival_s - age_s[request], int(depth[request]))][
                : int(depth[request])
            ]
        more = int(blocks[request]) - len(ids)
        ids = [*ids, *range(fresh, fresh + more)]
        fresh += more
        past.add(arrival_s, ids)
        lists.append(ids)
    return ragged(lists, model.block_tokens)


def _draw_depths(model: ReuseModel, blocks: Ints, draws: Floats) -> tuple[Ints, Floats]:
    edges = [depth.max_blocks for depth in model.depths if depth.max_blocks is not None]
    place = np.minimum(np.searchsorted(edges, blocks, side="left"), len(model.depths) - 1)
    share = np.zeros(len(blocks))
    for index, depth in enumerate(model.depths):
        here = (place == index) & (draws[:, 0] >= depth.fresh_share)
        steps = np.linspace(0, 1, len(depth.depth_shares))
        share[here] = np.interp(draws[here, 1], steps, depth.depth_shares)
    rounded = np.clip(np.rint(share * blocks), 1, None).astype(np.int64)
    return np.where((share > 0) & (blocks > 0), np.minimum(rounded, blocks), 0), share


def _draw_ages(model: ReuseModel, share: Floats, uniform: Floats) -> Floats:
    edges = [age.max_share for age in model.ages]
    place = np.minimum(np.searchsorted(edges, share, side="left"), len(model.ages) - 1)
    age_s = np.zeros(len(share))
    for index, age in enumerate(model.ages):
        here = place == index
        age_s[here] = np.interp(uniform[here], np.linspace(0, 1, len(age.age_s)), age.age_s)
    return age_s
