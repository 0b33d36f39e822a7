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
    first_blocks: int  # KV blocks that it has now
    last_blocks: int  # at its end
    emitted: int  # tokens emitted before the first of these steps
    done: int  # verify steps before
    width: int  # tokens computed a step: one, and the drafts


class Verify:
    """Futures of the requests of a trace, drawn in batches of neighbours."""

    def __init__(self, trace: Trace, draws: Draws, kv_block_tokens: int) -> None:
        self._trace = trace
        self._draws = draws
        self._block_tokens = kv_block_tokens
        self._keeps = len(trace) <= _KEPT_REQUESTS
        self._batches: dict[int, dict[int, list[Future]]] = {}  # by draft length
        self._left: dict[int, int] = {}

    def fresh(self, request: int, drafted: int) -> Future:
        """Of a request that has emitted its first token. Asked once for each request of a run."""
        batch, place = divmod(request, _BATCH)
        known = self._batches.get(batch)
        if known is None:
            known = self._batches[batch] = {}
            self._left[batch] = min(_BATCH, len(self._trace) - batch * _BATCH)
        futures = known.get(drafted)
        if futures is None:
            first = batch * _BATCH
            requests = np.arange(first, min(first + _BATCH, len(self._trace)))
            futures = known[drafted] = self._futures(requests, 1, 0, drafted)
        if not self._keeps:
            self._left[batch] -= 1
            if not self._left[batch]:
                del self._batches[batch], self._left[batch]
        return futures[place]

    def later(self, request: int, emitted: int, done: int, drafted: int, blocks: int = 0) -> Future:
        """Of a request that was interrupted after so many tokens and verify steps.

        Args:
            request: row of the trace.
            emitted: its tokens so far.
            done: its verify steps so far.
            drafted: drafts a step from now on.
            blocks: KV blocks that it holds, where longer drafts have taken more than its context needs.
        """
        return self._futures(np.asarray([request]), emitted, done, drafted, blocks)[0]

    def _futures(
        self, requests: Ints, emitted: int, done: int, drafted: int, held_blocks: int = 0
    ) -> list[Future]:
        """Futures of these requests, all of which have emitted so many tokens in so many verify steps."""
        trace = self._trace
        left = trace.output_tokens[requests] - emitted
        expected = self._draws.expected_tokens(drafted)
        likely = np.minimum(left, (left / expected * 1.2).astype(np.int64) + 12)
        owner, tokens, before = self._drawn(requests, done, likely, drafted)
        enough = np.bincount(owner, weights=tokens, minlength=len(requests)) >= left
        if not enough.all():
            owner, tokens, before = self._drawn(requests, done, np.where(enough, likely, left), drafted)
        keep = before < left[owner]
        owner, tokens, before = owner[keep], tokens[keep], before[keep]
        tokens = np.minimum(tokens, left[owner] - before)
        context = trace.prompt_tokens[requests] + emitted - 1
        held = np.maximum(-(-context // self._block_tokens), held_blocks)
        blocks = np.maximum((context[owner] + before + drafted) // self._block_tokens + 1, held[owner])
        steps = np.bincount(owner, minlength=len(requests))
        ends = np.cumsum(steps)
        new = np.diff(blocks, prepend=0)
        some = steps > 0
        new[(ends - steps)[some]] = blocks[(ends - steps)[some]] - held[some]
        gains = tokens + (new << BLOCKS)
        last = np.where(some, np.append(blocks, 0)[ends - 1], held)
        rows = zip(ends.tolist(), steps.tolist(), held.tolist(), last.tolist(), strict=True)
        return [
            Future(gains[end - count : end], begin, at_end, emitted, done, drafted + 1)
            for end, count, begin, at_end in rows
        ]

    def _drawn(self, requests: Ints, done: int, steps: Ints, drafted: int) -> tuple[Ints, Ints, Ints]:
        """So many steps of each: which of the requests, its tokens, and its tokens in the steps before."""
        start = np.cumsum(steps) - steps
        owner = np.repeat(np.arange(len(requests)), steps)
        step = np.arange(len(owner)) - start[owner]
        adapters = self._trace.adapter[requests[owner]]
        tokens = self._draws.many(requests[owner], adapters, step + done, drafted)
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
    who = trace.adapter if draws.own_marginals else trace.adapter == BASE
    columns = trace.prompt_tokens, trace.output_tokens, who
    rules = draws.seed, draws.draft_length, draws.base_marginals, draws.adapter_marginals, kv_block_tokens
    own = tuple(sorted(draws.own_marginals.items()))
    key = (*rules, own, *(column.tobytes() for column in columns))
    for known, verify in _recent:
        if known == key:
            return verify
    verify = Verify(trace, draws, kv_block_tokens)
    _recent[_KEPT_TRACES - 1 :] = []
    _recent.insert(0, (key, verify))
    return verify
