"""Adapters for requests that name none: drawn by share with a seed; everything else stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from advisor.errors import InputError
from advisor.trace.draw import chosen, uniforms
from advisor.trace.prefixes import lengths_of, reuse_of
from advisor.trace.trace import BASE, Floats, Ints, Trace


def zipf_shares(count: int, exponent: float) -> tuple[float, ...]:
    """Share of place i (from 1) proportional to i^-exponent, summing to 1; exponent 0 is uniform."""
    weights = np.arange(1, count + 1, dtype=float) ** -exponent
    return tuple((weights / weights.sum()).tolist())


def assign(
    trace: Trace, adapters: Sequence[str], shares: Sequence[float], *, base_share: float = 0.0, seed: int
) -> Trace:
    """Give each request an adapter.

    Requests of one conversation (more than half of the prompt's blocks shared with an earlier request) keep
    one adapter, because an engine's prefix cache never shares blocks between adapters.

    Args:
        trace: any trace; adapters that it names are replaced.
        adapters: names, different from each other.
        shares: one weight an adapter, at least one above 0; scaled to sum to 1.
        base_share: share of requests that go to the plain base model, in [0, 1].
        seed: equal seeds give equal adapters, whatever the lengths and arrivals.

    Raises:
        InputError: shares do not match the adapters.
    """
    if not adapters:
        return replace(trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=())
    weights = checked_shares(adapters, shares)
    adapter = chosen(weights, uniforms(seed, "adapter", len(trace)))
    adapter[to_base(len(trace), base_share, seed)] = BASE
    if trace.prefixes is not None:
        adapter = adapter[_first_turns(trace)]
    return replace(trace, adapter=adapter, adapters=tuple(adapters))


def to_base(count: int, base_share: float, seed: int) -> Ints:
    """Places in 0 .. count - 1 of the requests that go to the plain base model, rising."""
    return np.flatnonzero(uniforms(seed, "base", count) < base_share)


def checked_shares(adapters: Sequence[str], shares: Sequence[float]) -> Floats:
    """The shares as an array, shape (adapters,), checked but not scaled to 1.

    Raises:
        InputError: another number than adapters, negative, not finite, or all 0; or a name given twice.
    """
    weights = np.asarray(shares, dtype=float)
    if len(weights) != len(adapters):
        raise InputError(
            f"shares: holds {len(weights)} weights; allowed: one for each of {len(adapters)} adapters."
        )
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or weights.sum() <= 0:
        raise InputError("shares: allowed are finite weights of at least 0, one of them above 0.")
    if len(set(adapters)) < len(adapters):
        raise InputError("adapters: a name is given twice. Name each adapter once.")
    return weights


def _first_turns(trace: Trace) -> Ints:
    """The request that began each request's conversation."""
    assert trace.prefixes is not None
    alone = replace(trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=())
    reuse = reuse_of(alone)
    follows = 2 * reuse.depth > lengths_of(trace.prefixes)
    first = np.arange(len(trace))
    for request in np.flatnonzero(follows).tolist():  # parents come before their children
        first[request] = first[reuse.parent[request]]
    return first
