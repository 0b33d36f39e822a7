"""A trace from a law: one process for all, or one for each adapter. Same seed, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from advisor.spec.workload import Generator, SharedPrefix, Streams
from advisor.trace.arrivals import arrival_times
from advisor.trace.assign import assign
from advisor.trace.draw import generator, uniforms
from advisor.trace.lengths import lengths
from advisor.trace.trace import BASE, Floats, Ints, Prefixes, Trace

BLOCK_TOKENS: Final = 16
"""Tokens of a shared block: vLLM's KV block on a GPU."""
_STEPS_PER_ADAPTER: Final = 2**40  # room for 10,000 groups of 62,500 blocks each


def generate(
    law: Generator,
    adapters: Sequence[str] = (),
    shares: Sequence[float] = (),
    *,
    base_share: float = 0.0,
    seed: int,
) -> Trace:
    """Draw a trace: arrivals, lengths, adapters and prefixes, each from its own stream of the seed.

    Args:
        law: the workload.
        adapters: their names; none: all requests go to the base model.
        shares: one weight an adapter.
        base_share: share of requests to the plain base model.
        seed: any whole number of at least 0.

    Raises:
        InputError: more than 20 million requests, or shares that do not match.
    """
    arrival_s = arrival_times(law.arrivals, law.duration, seed)
    count = len(arrival_s)
    prompt = lengths(law.prompt_tokens, uniforms(seed, "prompt_tokens", count))
    output = lengths(law.output_tokens, uniforms(seed, "output_tokens", count))
    bare = Trace(arrival_s, prompt, output, np.full(count, BASE, dtype=np.int64), name="generated")
    trace = assign(bare, adapters, shares, base_share=base_share, seed=seed)
    if law.shared_prefix is None:
        return trace
    start = _starts(law.shared_prefix, trace.adapter, seed, 0)
    return replace(trace, prefixes=_shared(law.shared_prefix, prompt, start))


def generate_streams(law: Streams, *, seed: int) -> Trace:
    """Draw one process for each stream and merge them. The stream named "base" goes to the plain base model.

    Raises:
        InputError: more than 20 million requests.
    """
    adapters = tuple(dict.fromkeys(s.adapter for s in law.streams if s.adapter != "base"))
    parts = [_stream(law, place, adapters, seed) for place in range(len(law.streams))]
    arrival_s = np.concatenate([part.arrival_s for part in parts])
    order = np.argsort(arrival_s, kind="stable")
    return Trace(
        arrival_s[order],
        np.concatenate([part.prompt_tokens for part in parts])[order],
        np.concatenate([part.output_tokens for part in parts])[order],
        np.concatenate([part.adapter for part in parts])[order],
        adapters,
        prefixes=_merged([part.prefixes for part in parts], order),
        name="generated",
    )


def _stream(law: Streams, place: int, adapters: tuple[str, ...], seed: int) -> Trace:
    stream = law.streams[place]
    arrival_s = arrival_times(stream.arrivals, law.duration, seed, place)
    count = len(arrival_s)
    prompt = lengths(stream.prompt_tokens, uniforms(seed, "prompt_tokens", count, place))
    output = lengths(stream.output_tokens, uniforms(seed, "output_tokens", count, place))
    index = BASE if stream.adapter == "base" else adapters.index(stream.adapter)
    adapter = np.full(count, index, dtype=np.int64)
    prefixes = Prefixes(np.zeros(count + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), BLOCK_TOKENS)
    if stream.shared_prefix is not None:
        start = _starts(stream.shared_prefix, np.full(count, place, dtype=np.int64), seed, place)
        prefixes = _shared(stream.shared_prefix, prompt, start)
    return Trace(arrival_s, prompt, output, adapter, adapters, prefixes=prefixes)


def _starts(law: SharedPrefix, owner: Ints, seed: int, stream: int) -> Ints:
    """First block id of each request's shared prefix, -1 where it has none: unique by owner and group."""
    rng = generator(seed, "prefix", stream)
    draws: Floats = rng.random((len(owner), 2))
    group = np.minimum((draws[:, 1] * law.groups_per_adapter).astype(np.int64), law.groups_per_adapter - 1)
    blocks = max(1, law.tokens // BLOCK_TOKENS)
    return np.where(draws[:, 0] < law.share, (owner + 1) * _STEPS_PER_ADAPTER + group * blocks, -1)


def _shared(law: SharedPrefix, prompt: Ints, start: Ints) -> Prefixes:
    """Ids start, start + 1, ... over the whole blocks of the shared prefix that lie in the prompt."""
    blocks = np.where(start < 0, 0, np.minimum(law.tokens, prompt) // BLOCK_TOKENS)
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(blocks)))
    within = np.arange(int(offsets[-1]), dtype=np.int64) - np.repeat(offsets[:-1], blocks)
    return Prefixes(offsets, np.repeat(start, blocks) + within, BLOCK_TOKENS)


def _merged(parts: Sequence[Prefixes | None], order: Ints) -> Prefixes | None:
    from advisor.trace.prefixes import lengths_of, select

    held = [part for part in parts if part is not None]
    if not sum(len(part.ids) for part in held):
        return None
    counts = np.concatenate([lengths_of(part) for part in held])
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
    return select(Prefixes(offsets, np.concatenate([part.ids for part in held]), BLOCK_TOKENS), order)
