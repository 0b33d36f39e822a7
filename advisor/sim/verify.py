"""What the verify steps of each request will yield, ahead of time, for the skipping engine.

The draws depend on (seed, request, verify step) only, so a request's future is known when its prompt is
done: tokens and new KV blocks of every verify step up to its end. Computed for many requests at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.sim.draws import Draws
from advisor.trace.trace import BASE, Trace

Ints = NDArray[np.int64]

BLOCKS = 32
TOKENS = (1 << BLOCKS) - 1
"""A gain is tokens + blocks · 2^32; sums of gains keep both sums."""

_BATCH = 1024
_KEPT_REQUESTS = 8192
_KEPT_TRACES = 6


@dataclass(slots=True)
class Future:
    """The verify steps of one request from now to its end."""

    gains: Ints  # of each step
    last_blocks: int  # KV blocks that it has at its end
    emitted: int  # tokens emitted before the first of these steps
    done: int  # verify steps before


class Verify:
    """Futures of the requests of a trace, drawn in batches of neighbours."""

    def __init__(self, trace: Trace, draws: Draws, kv_block_tokens: int) -> None:
        self._trace = trace
        self._draws = draws
        self._block_tokens = kv_block_tokens
        self._keeps = len(trace) <= _KEPT_REQUESTS
        self._batches: dict[int, list[Future]] = {}
        self._left: dict[int, int] = {}

    def fresh(self, request: int) -> Future:
        """Of a request that has emitted its first token. Asked once for each request of a run."""
        batch, place = divmod(request, _BATCH)
        futures = self._batches.get(batch)
        if futures is None:
            first = batch * _BATCH
            requests = np.arange(first, min(first + _BATCH, len(self._trace)))
            futures = self._batches[batch] = self._futures(requests, 1, 0)
            self._left[batch] = len(futures)
        if not self._keeps:
            self._left[batch] -= 1
            if not self._left[batch]:
                del self._batches[batch], self._left[batch]
        return futures[place]

    def later(self, request: int, emitted: int, done: int) -> Future:
        """Of a request that was interrupted after so many tokens and verify steps."""
        return self._futures(np.asarray([request]), emitted, done)[0]

    def _futures(self, requests: Ints, emitted: int, done: int) -> list[Future]:
        """Futures of these requests, all of which have emitted so many tokens in so many verify steps."""
        trace = self._trace
        left = trace.output_tokens[requests] - emitted
        likely = np.minimum(left, (left / self._draws.expected_tokens * 1.2).astype(np.int64) + 12)
        owner, tokens, before = self._drawn(requests, done, likely)
        enough = np.bincount(owner, weights=tokens, minlength=len(requests)) >= left
        if not enough.all():
            owner, tokens, before = self._drawn(requests, done, np.where(enough, likely, left))
        keep = before < left[owner]
        owner, tokens, before = owner[keep], tokens[keep], before[keep]
        tokens = np.minimum(tokens, left[owner] - before)
        context = trace.prompt_tokens[requests] + emitted - 1
        blocks = (context[owner] + before + self._draws.draft_length) // self._block_tokens + 1
        steps = np.bincount(owner, minlength=len(requests))
        ends = np.cumsum(steps)
        new = np.diff(blocks, prepend=0)
        some = steps > 0
        new[(ends - steps)[some]] = blocks[(ends - steps)[some]] + (-context[some] // self._block_tokens)
        gains = tokens + (new << BLOCKS)
        last = np.where(some, np.append(blocks, 0)[ends - 1], -(-context // self._block_tokens))
        return [
            Future(gains[end - count : end], blocks_at_end, emitted, done)
            for end, count, blocks_at_end in zip(ends.tolist(), steps.tolist(), last.tolist(), strict=True)
        ]

    def _drawn(self, requests: Ints, done: int, steps: Ints) -> tuple[Ints, Ints, Ints]:
        """So many steps of each: which of the requests, its tokens, and its tokens in the steps before."""
        start = np.cumsum(steps) - steps
        owner = np.repeat(np.arange(len(requests)), steps)
        step = np.arange(len(owner)) - start[owner]
        tokens = self._draws.many(requests[owner], self._trace.adapter[requests[owner]], step + done)
        before = np.cumsum(tokens) - tokens
        before -= np.append(before, 0)[start][owner]
        return owner, tokens, before


_Key = tuple[object, ...]
_recent: list[tuple[_Key, Verify]] = []
"""The last traces that were asked for: a search simulates the same requests again and again."""


def verify_of(trace: Trace, draws: Draws, kv_block_tokens: int) -> Verify:
    """Futures of a trace, from the last runs on equal requests where they are few."""
    if len(trace) > _KEPT_REQUESTS:
        return Verify(trace, draws, kv_block_tokens)
    columns = trace.prompt_tokens, trace.output_tokens, trace.adapter == BASE
    rules = draws.seed, draws.draft_length, draws.base_marginals, draws.adapter_marginals, kv_block_tokens
    key = (*rules, *(column.tobytes() for column in columns))
    for known, verify in _recent:
        if known == key:
            return verify
    verify = Verify(trace, draws, kv_block_tokens)
    _recent[_KEPT_TRACES - 1 :] = []
    _recent.insert(0, (key, verify))
    return verify
