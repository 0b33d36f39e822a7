"""The skipping engine with speculative decoding: sequences advance by drawn numbers of tokens.

What each decoding request will gain in each of its verify steps is known (`verify.py`), so the batch's
gains are kept by step number: a request adds its own when it begins to decode, and takes the rest back
when it is preempted. A span is a sum over this table instead of a closed form.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from heapq import heappush

import numpy as np
import simpy
from numpy.typing import NDArray

from advisor.sim.prefixes import PrefixTree
from advisor.sim.rundata import RunData, line_key
from advisor.sim.setup import ReplicaSetup
from advisor.sim.skipping import SkippingReplica
from advisor.sim.verify import BLOCKS, TOKENS, Future, Verify
from advisor.sim.waiting import SHIFT

_ROOM = 4096
_FEW = 16


class DraftingReplica(SkippingReplica):
    """One replica whose decoding requests take draft_length + 1 tokens a step and keep those accepted."""

    __slots__ = (
        "_contexts",
        "_ends_s",
        "_futures",
        "_gained",
        "_gains",
        "_gains_from",
        "_speculation",
        "_verify",
    )

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        setup: ReplicaSetup,
        shared: RunData,
        tree: PrefixTree | None,
    ) -> None:
        super().__init__(env, index, setup, shared, tree)
        assert setup.speculation is not None
        assert shared.verify is not None
        self._speculation = setup.speculation
        self._verify: Verify = shared.verify

    def start(self) -> None:
        """Serve from now on, with the preloaded adapters and an empty KV cache."""
        super().start()
        self._draft(self._speculation.draft_length)
        self._gains = np.zeros(_ROOM, dtype=np.int64)  # of the batch, by step number - _gains_from
        self._gains_from = 0
        self._futures: dict[
            int, tuple[int, Future]
        ] = {}  # request -> step before its first verify step, future
        self._contexts: list[int] = []  # before each step of the span
        self._ends_s: list[float] = []  # of each step of the span, from its start
        self._gained: list[int] = []  # gains of the span up to each step, without the blocks of the first

    def _draft(self, length: int) -> None:
        """So many drafts a step from now on."""
        self.width = length + 1
        self._line_key = line_key(length)

    def _complete(self, steps: int, time_s: float) -> None:
        requests = self._served + len(self._chunks)
        super()._complete(steps, time_s)
        if self._speculation.schedule:
            length = self._speculation.length_after(requests)
            if length != self.width - 1:
                self._draft(length)
                self._draw_anew()

    def _draw_anew(self) -> None:
        """Drafts have become longer or shorter: everything that is ahead of the decoding requests changes."""
        run, drafted = self._run, self.width - 1
        for number, request in self._running.items():
            begin, future = self._futures.get(request, (0, None))
            if future is None or self._n - begin == len(future.gains):
                continue  # computes its prompt, or finishes with this step
            done = self._n - begin
            self._add_gains(self._n + 1, -future.gains[done:])
            emitted, blocks = self._state(request, done, future)
            future = self._verify.later(request, emitted, future.done + done, drafted, blocks)
            self._futures[request] = self._n, future
            self._add_gains(self._n + 1, future.gains)
            finish = run.finish[request] = self._n + len(future.gains)
            heappush(self._finishing, (finish << SHIFT) + number)

    def _state(self, request: int, done: int, future: Future) -> tuple[int, int]:
        """Tokens that a request has emitted, and its KV blocks, after so many steps of its future."""
        if not done:
            return future.emitted, future.first_blocks
        emitted = future.emitted + int((future.gains[:done] & TOKENS).sum())
        computed = (
            self._run.prompt[request] + emitted - 1 + future.width - int(future.gains[done - 1] & TOKENS)
        )
        return emitted, max(future.first_blocks, -(-computed // self._limits.kv_block_tokens))

    def _begin_decoding(self, number: int, request: int, emitted: int) -> None:
        run, drafted = self._run, self.width - 1
        if emitted == 1:
            future = self._verify.fresh(request, drafted)
        else:
            future = self._verify.later(request, emitted, int(run.outcome.verify_steps[request]), drafted)
        self._futures[request] = self._n, future
        self._add_gains(self._n + 1, future.gains)
        self._decodes += 1
        self._context += run.prompt[request] + emitted - 1
        finish = run.finish[request] = self._n + len(future.gains)
        heappush(self._finishing, (finish << SHIFT) + number)

    def _stop_decoding(self, request: int) -> tuple[int, int]:
        run = self._run
        begin, future = self._futures.pop(request)
        done = self._n - begin
        run.outcome.verify_steps[request] = future.done + done
        self._decodes -= 1
        if done == len(future.gains):
            emitted, blocks = run.output[request], future.last_blocks
        else:
            self._add_gains(self._n + 1, -future.gains[done:])
            emitted, blocks = self._state(request, done, future)
        self._context -= run.prompt[request] + emitted - 1
        return emitted, blocks

    def _add_gains(self, step: int, gains: NDArray[np.int64]) -> None:
        """Book gains from this step on."""
        at = step - self._gains_from
        if at + len(gains) > len(self._gains):
            self._make_room(at, len(gains))
            at = step - self._gains_from
        self._gains[at : at + len(gains)] += gains

    def _make_room(self, at: int, count: int) -> None:
        """Forget past steps, and enlarge the table if that is not enough."""
        past = max(0, self._n + 1 - self._gains_from)
        ahead = self._gains[past:]
        size = max(len(self._gains), 2 * (at - past + count))
        self._gains = np.zeros(size, dtype=np.int64)
        self._gains[: len(ahead)] = ahead
        self._gains_from += past

    def _blocks_due(self, step: int, steps: int) -> int:
        at = step + 1 - self._gains_from
        if steps == 1:
            return self._gain(at) >> BLOCKS
        return int(self._gains[at : at + steps].sum()) >> BLOCKS

    def _grow_once(self) -> None:
        self._context += self._gain(self._n + 1 - self._gains_from) & TOKENS

    def _gain(self, at: int) -> int:
        """What the batch gains at a place of the table; nothing beyond its end, where nobody decodes."""
        return self._gains.item(at) if at < len(self._gains) else 0

    def _grow(self, steps: int) -> int:
        gained = self._gained[steps - 1]
        self._context += gained & TOKENS
        self._kv.take(gained >> BLOCKS)
        return sum(self._contexts[:steps])

    def _steps_ahead(self, steps: int, context_high: float) -> int:
        spec = self._speculation
        if spec.schedule and spec.length_after(self._served) != self.width - 1:
            return 1
        coming_s = math.inf if self._closed else self._coming_s
        if coming_s < math.inf:
            if coming_s <= self._t:
                return 1
            steps = int(min(steps, (coming_s - self._t) / self._first_s + 2 + self._async))
        if steps <= 1 or self._ready:
            return 1
        at = self._n + 1 - self._gains_from
        gains = self._gains[at : at + steps]
        if steps <= _FEW:
            self._lay_out_few(gains.tolist(), context_high)
        else:
            self._lay_out(gains, context_high)
        steps = len(self._ends_s)
        if coming_s < self._t + self._span_s(steps):
            steps = min(steps, self._steps_to(coming_s) + self._async)
        return steps

    def _lay_out(self, gains: NDArray[np.int64], context_high: float) -> None:
        """Contexts and ends of the steps that this line and the free KV blocks allow."""
        gained = gains.copy()
        gained[0] &= TOKENS
        gained = gained.cumsum()
        steps = int((gained >> BLOCKS).searchsorted(self._kv.free, side="right"))
        grown = np.zeros(len(gains), dtype=np.int64)
        grown[1:] = gained[:-1] & TOKENS
        contexts = grown + self._served_context
        if context_high < math.inf:
            steps = min(steps, int(contexts.searchsorted(context_high)))
        ends_s = (self._first_s + self._slope_s * grown[:steps]).cumsum()
        self._contexts, self._ends_s = contexts[:steps].tolist(), ends_s.tolist()
        self._gained = gained[:steps].tolist()

    def _lay_out_few(self, gains: list[int], context_high: float) -> None:
        """The same for a handful of steps, where numpy's calls would cost more than the sums."""
        free, begin, first_s, slope_s = self._kv.free, self._served_context, self._first_s, self._slope_s
        gained, ends_s = gains[0] & TOKENS, first_s
        self._contexts, self._ends_s, self._gained = contexts, ends, sums = [begin], [ends_s], [gained]
        for gain in gains[1:]:
            grown = gained & TOKENS
            gained += gain
            if gained >> BLOCKS > free or begin + grown >= context_high:
                return
            ends_s += first_s + slope_s * grown
            contexts.append(begin + grown)
            ends.append(ends_s)
            sums.append(gained)

    def _span_s(self, steps: int) -> float:
        return self._first_s if steps == 1 else self._ends_s[steps - 1]

    def _steps_to(self, time_s: float) -> int:
        if self._t + self._first_s >= time_s:
            return 1
        steps = min(len(self._ends_s), 1 + bisect_left(self._ends_s, time_s - self._t))
        while steps > 1 and self._t + self._span_s(steps - 1) >= time_s:
            steps -= 1
        while steps < len(self._ends_s) and self._t + self._span_s(steps) < time_s:
            steps += 1
        return steps

    def _context_of(self, request: int) -> int:
        begin, future = self._futures[request]
        gained = int((future.gains[: self._n - begin] & TOKENS).sum())
        return self._run.prompt[request] + future.emitted + gained - 1

    def _blocks_wanted(self, request: int) -> int:
        begin, future = self._futures[request]
        return int(future.gains[self._n - begin]) >> BLOCKS

    def _put_off(self, number: int, request: int) -> None:
        begin, future = self._futures[request]
        rest = future.gains[self._n - begin :]
        self._add_gains(self._n + 1, -rest)
        self._add_gains(self._n + 2, rest)
        self._futures[request] = begin + 1, future
        self._run.finish[request] += 1
        heappush(self._finishing, (self._run.finish[request] << SHIFT) + number)
