"""Shared prompt prefixes: building the ragged id columns, and what an endless cache would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.trace.trace import Floats, Ints, Prefixes, Trace


def ragged(lists: Sequence[Sequence[int]], block_tokens: int) -> Prefixes:
    """Build prefixes from one id list a request."""
    lengths = np.fromiter((len(ids) for ids in lists), dtype=np.int64, count=len(lists))
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))
    ids = np.fromiter((one for ids in lists for one in ids), dtype=np.int64, count=int(offsets[-1]))
    return Prefixes(offsets, ids, block_tokens)


def lengths_of(prefixes: Prefixes) -> Ints:
    """Number of ids of each request."""
    return np.diff(prefixes.offsets)


def select(prefixes: Prefixes, index: Ints, keep: Ints | None = None) -> Prefixes:
    """Prefixes of the requests `index`, in that order, each cut to its first `keep` ids (None: all)."""
    lengths = lengths_of(prefixes)[index]
    if keep is not None:
        lengths = np.minimum(lengths, keep)
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))
    within = np.arange(int(offsets[-1]), dtype=np.int64) - np.repeat(offsets[:-1], lengths)
    return Prefixes(
        offsets, prefixes.ids[np.repeat(prefixes.offsets[index], lengths) + within], prefixes.block_tokens
    )


@dataclass(frozen=True, slots=True)
class Reuse:
    """What each request shares with earlier requests of the same adapter.

    Attributes:
        depth: (requests,) blocks from the start of the prompt that an earlier request had.
        parent: (requests,) the latest earlier request with all of them; -1 where depth is 0.
        age_s: (requests,) seconds since the parent's arrival; NaN where there is none.
    """

    depth: Ints
    parent: Ints
    age_s: Floats


def reuse_of(trace: Trace) -> Reuse:
    """Walk the trace once with an endless prefix cache, keyed by adapter as engines key it."""
    count = len(trace)
    depth = np.zeros(count, dtype=np.int64)
    parent = np.full(count, -1, dtype=np.int64)
    prefixes = trace.prefixes
    if prefixes is not None:
        ids, offsets = prefixes.ids.tolist(), prefixes.offsets.tolist()
        holders: dict[int, dict[int, int]] = {}
        for request, adapter in enumerate(trace.adapter.tolist()):
            holder = holders.setdefault(adapter, {})
            mine = ids[offsets[request] : offsets[request + 1]]
            known = 0
            while known < len(mine) and mine[known] in holder:
                known += 1
            depth[request] = known
            if known:
                parent[request] = holder[mine[known - 1]]
            holder.update(dict.fromkeys(mine, request))
    age = np.where(parent >= 0, trace.arrival_s - trace.arrival_s[parent], np.nan)
    return Reuse(depth, parent, age)


def hit_ratio(trace: Trace, reuse: Reuse | None = None) -> float:
    """Share of all prompt tokens that an endless prefix cache finds; at most prompt - 1 of each request."""
    if trace.prefixes is None or not len(trace):
        return 0.0
    found = (reuse or reuse_of(trace)).depth * trace.prefixes.block_tokens
    return float(np.minimum(found, trace.prompt_tokens - 1).sum() / trace.prompt_tokens.sum())
