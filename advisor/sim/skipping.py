"""The skipping engine: one simpy event for all steps in which nothing but decoding can happen.

Same rules as `scheduler.py`, other bookkeeping (`bookkeeping.py`). `run` and `_turn` are the loop: read
them first. What sums cannot decide is decided in `walk.py`, request by request. Decoding with drafts is in
`drafting.py`. This file is the hot path: it is written for speed where that costs no clarity.
"""

from __future__ import annotations

import math
from array import array
from heapq import heappop

import simpy

from advisor.sim.bookkeeping import NEVER
from advisor.sim.prefixes import PrefixTree
from advisor.sim.rundata import RunData
from advisor.sim.setup import ReplicaSetup
from advisor.sim.waiting import REQUEST, SHIFT
from advisor.sim.walk import Walk
from advisor.steptime.batch import Batch

_new_tuple = tuple.__new__  # a named tuple's own constructor takes twice as long


class SkippingReplica(Walk):
    """One replica."""

    __slots__ = ("_turn_s", "due_s")

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        setup: ReplicaSetup,
        shared: RunData,
        tree: PrefixTree | None,
    ) -> None:
        super().__init__(env, index, setup, shared, tree)
        self._turn_s = NEVER  # when the span ends, or the sleep
        self.due_s = NEVER  # when there is something to do: a turn, or the end of a load

    # What the fleet calls -------------------------------------------------------------------------------

    def push(self, request: int, now_s: float) -> None:
        """A request arrives from the router; all turns before this time have been made."""
        self.outstanding += 1
        self._run.replica[request] = self.index
        self._inbox.append(request)
        self._inbox_s.append(now_s)
        if self._coming_s == NEVER:
            self._coming_s = now_s
        if self._note_s == NEVER:
            self._note_s = now_s
        if self._idle or not self._closed:
            self._something_comes(now_s)
            if self._turn_s < self.due_s:
                self.due_s = self._turn_s

    def expect(self, requests: array[int], arrival_s: array[float]) -> None:
        """All requests that will ever come, right after `start`; routing does not depend on the state."""
        self._inbox, self._inbox_s = requests, arrival_s
        self.outstanding = len(requests)
        if len(requests):
            self._coming_s = self._note_s = self._turn_s = self.due_s = arrival_s[0]

    def fail(self) -> list[int]:
        """Die: the step under way is lost. Returns the requests to be routed anew, running ones first."""
        now = self.env.now
        self._alive = False
        self._cut_short(now)
        self._take_in()  # whom the step under way has seen waits in the order of service
        self.outstanding = 0
        return self._give_up_all(now)

    def stop(self) -> None:
        """The horizon is reached: what has been scheduled but not computed does not count."""
        if self._alive:
            self._cut_short(self.env.now)
            self._book_unfinished()

    def _cut_short(self, now: float) -> None:
        """Book the steps of the present span that have ended, and ring no more."""
        self._turn_s = self.due_s = NEVER
        if not self._idle and self._span > 1:
            steps = min(self._steps_to(now), self._span) - 1
            if steps > 0:
                self._complete(steps, self._t + self._span_s(steps))
        if self._lora:
            self._pass_time(now)

    def _something_comes(self, now: float) -> None:
        """Wake up, or end the span with the step in which it is seen."""
        if self._idle:
            if now < self._turn_s:
                self._turn_s = now
        elif self._span > 1:
            steps = self._steps_to(now) + self._async
            if steps < self._span:
                self._span = steps
                self._turn_s = self._t + self._span_s(steps)

    # The loop -------------------------------------------------------------------------------------------

    def run(self, until_s: float) -> float:
        """All that happens here before a moment, if nobody comes; returns when the next thing is due."""
        loads = self._loads
        while True:
            time_s = self._turn_s
            if loads.next_s <= time_s and loads.next_s < until_s:
                self._load_ended()
            elif time_s < until_s:
                if self._idle:
                    self._wake(time_s)
                else:
                    self._complete(self._span, time_s)
                self._turn_s = self._turn()
            else:
                self.due_s = min(time_s, loads.next_s)
                return self.due_s

    def _turn(self) -> float:
        """Between two steps: emit, retire, take in, schedule. Returns when the next turn is."""
        if self._chunks:
            self._end_prompts()
        finishing = self._finishing
        if finishing and finishing[0] >> SHIFT <= self._n:
            self._retire()
        if self._coming_s <= self._t or self._ready:
            self._take_in()
        while True:
            preempted = self._schedule()
            if self._chunks or self._served or not preempted:
                break
        if self._lora:
            self._blocked.settle(len(self._cache.pins) >= self._cache.slots, self._t)
        if self._run.wants_series:
            self._note_state()
        if self._chunks:
            return self._mixed_step()
        if self._served:
            return self._quiet_steps(preempted)
        return self._sleep()

    def _wake(self, time_s: float) -> None:
        """The end of a time in which nothing could run."""
        self._t = time_s
        self._row = self._run.ledger.add((self.index, time_s, 0.0, -1, 0, 0, 0, 0))
        if self._lora:
            self._pass_time(time_s)

    def _complete(self, steps: int, time_s: float) -> None:
        """Book the first steps of the span under way."""
        on_time = served = self._served
        if self._missing:
            for number, request in self._missing.items():
                if number not in self._partial:
                    self._put_off(number, request)
        context = self._served_context
        if steps == 1:
            contexts = context
            self._grow_once()
            self._step_start_s = self._t
        else:
            contexts = self._grow(steps)
            self._step_start_s = self._t + self._span_s(steps - 1)
        if self._late:
            on_time = served - self._end_late(time_s)
        self._row = self._run.ledger.add(
            (self.index, time_s, self._stall_s, self._kind, steps, contexts, context, on_time)
        )
        self._n += steps
        self._t = time_s
        if self._missing:
            self._end_missed_step()
        if self._lora:
            self._pass_time(time_s)

    def _grow_once(self) -> None:
        """Every decoding request of the step gets a token."""
        self._context += self._served

    def _grow(self, steps: int) -> int:
        """Every decoding request gets a token a step; returns its contexts summed over the steps."""
        served = self._served
        self._context += served * steps
        self._kv.take(self._blocks_due(self._n + 1, steps - 1))
        return steps * self._served_context + served * (steps * (steps - 1) // 2)

    def _end_prompts(self) -> None:
        """Chunks are computed; where one completes its prompt, the request gets a token and decodes on."""
        run, row = self._run, self._row
        first, ledger = run.ledger.first, run.ledger
        chunks, self._chunks = self._chunks, []
        self._stall_s = 0.0
        for number, before, tokens, completes in chunks:
            if not completes:
                self._partial[number] = before + tokens
                continue
            request = self._running[number]
            if self._partial:
                self._partial.pop(number, None)
            if self._has_tree:
                self._kv.register(request)
            emitted = 1
            if first[request] < 0:
                first[request] = row
            else:
                emitted += run.emitted.pop(request)
                ledger.gaps_s.append(self._t - run.last_emission_s.pop(request))
                run.refills[request] = run.refills.get(request, 0) + 1
            self._begin_decoding(number, request, emitted)

    def _retire(self) -> None:
        """Finished requests leave, in the order of their admission."""
        run, finishing, n, kv, lora = self._run, self._finishing, self._n, self._kv, self._lora
        last, row, running, finish = run.ledger.last, self._row, self._running, run.finish
        while finishing and finishing[0] >> SHIFT <= n:
            number = heappop(finishing) & REQUEST
            request = running.get(number, -1)
            if request < 0 or finish[request] != n:
                continue  # out of date: preempted or late since
            del running[number]
            last[request] = row
            _, blocks = self._stop_decoding(request)
            kv.release(request, blocks)
            if lora:
                self._unpin(run.adapter[request])
            self.outstanding -= 1

    def _take_in(self) -> None:
        """Arrivals and loads that the scheduler sees now (`plain.py: _take_in` says which)."""
        until_s = self._t
        if self._async and self._running and self._step_start_s < until_s:
            until_s = self._step_start_s
        seen, inbox, inbox_s, place = self._seen, self._inbox, self._inbox_s, self._run.place
        count = len(inbox_s)
        while seen < count and inbox_s[seen] <= until_s:
            request = inbox[seen]
            self._last_place += 1
            self._waiting.push(((self._last_place if place is None else place[request]) << SHIFT) + request)
            seen += 1
        self._seen = seen
        self._coming_s = inbox_s[seen] if seen < count else NEVER
        while self._ready and self._ready[0][0] <= until_s:
            _, adapter = self._ready.popleft()
            self._loading.remove(adapter)
            self._waiting.activate(adapter)

    def _schedule(self) -> int:
        """Who runs in the next step; returns how many were preempted for it."""
        decodes = self._served = self._decodes
        self._served_context = self._context
        left = self._budget - decodes * self.width
        due = self._blocks_due(self._n, 1) if decodes else 0
        self._closed = False
        if self._partial or left < 0 or due > self._kv.free:
            left, preempted = self._continue_running(left, due)
            if preempted:
                return preempted
        elif self._kv.tracks:
            self._kv.take(due)
        else:
            self._kv.free -= due
        if left > 0:
            if self._waiting.size:
                self._admit(left)
        else:
            self._closed = True
        return 0

    def _blocks_due(self, step: int, steps: int) -> int:
        """KV blocks that the decoding requests begin in so many steps, after `step` have been made."""
        phase, size = self._phase, self._block_tokens
        if steps == 1:
            return phase[-step % size]
        whole, rest = divmod(steps, size)
        return whole * self._decodes + sum(phase[-(step + i) % size] for i in range(rest))

    def _admit(self, left: int) -> None:
        """Admit waiting requests; `left` tokens of the budget are free."""
        waiting, cache, kv, running, run = self._waiting, self._cache, self._kv, self._running, self._run
        block_tokens, threshold = self._block_tokens, self._limits.long_prefill_token_threshold
        seats = self._limits.max_num_seqs
        while left > 0:
            if len(running) >= seats:
                self._closed = True
                return
            entry = waiting.first(len(cache.pins) >= cache.slots)
            if entry is None:
                return
            request = entry & REQUEST
            adapter = run.adapter[request]
            if adapter >= 0 and self._overlapped and adapter not in cache.in_slots:
                self._begin_load(adapter)
                continue
            tokens = run.prompt[request]
            if run.emitted:
                tokens += run.emitted.get(request, 0)
            hit, hit_free = kv.match(request) if kv.tracks else (0, 0)
            if -(-tokens // block_tokens) - hit > kv.free - hit_free:
                self._closed = run.place is None
                return
            alone = not running and waiting.size == 1
            waiting.pop(entry)
            cached = hit * block_tokens
            chunk = tokens - cached
            if chunk > left:
                chunk = left
            if 0 < threshold < chunk and not alone:
                chunk = threshold
            blocks = -(-(cached + chunk) // block_tokens) - hit
            if kv.tracks:
                kv.hold(request)
                kv.take(blocks)
            else:
                kv.free -= blocks
            number = self._admissions = self._admissions + 1
            running[number] = request
            if adapter >= 0:
                self._pin(adapter)
            self._begin(request, cached)
            completes = cached + chunk == tokens
            if not completes:
                self._partial[number] = cached
            self._chunks.append((number, cached, chunk, completes))
            left -= chunk

    # How long nothing else can happen -------------------------------------------------------------------

    def _mixed_step(self) -> float:
        """One step with prompt chunks; returns its end."""
        served, width, chunks = self._served, self.width, self._chunks
        outputs = served * width
        if len(chunks) == 1:
            _, before, tokens, completes = chunks[0]
            outputs += completes
            lengths: tuple[tuple[int, int], ...] = ((tokens, before),)
        else:
            outputs += sum([chunk[3] for chunk in chunks])
            lengths = tuple([(tokens, before) for _, before, tokens, _ in chunks])
        adapters = self._adapters_in_step() if self._lora else 0
        batch = _new_tuple(Batch, (served, self._served_context, lengths, outputs, width - 1, adapters))
        parts = self.setup.clock.parts(batch)
        self._kind = self._run.ledger.add_mixed(parts)
        self._idle = False
        self._span = 1
        return self._t + (parts.total + self._stall_s)

    def _quiet_steps(self, preempted: int) -> float:
        """Steps of decoding only, up to the next event; returns their end."""
        served, context = self._served, self._served_context
        adapters = self._adapters_in_step() if self._lora else 0
        found = self._run.lines.get(self._line_key + served * 1_000_003 + adapters)
        if found is None or not found.low <= context < found.high:
            found = self._run.line(served, adapters, self.width - 1, context)
        self._kind, self._slope_s, at_zero_s, _, high = found
        first_s = self._first_s = at_zero_s + self._slope_s * context
        self._growth_s = self._slope_s * served
        self._idle = False
        steps = (self._finishing[0] >> SHIFT) - self._n
        if steps > 1 and not (preempted or self._missing or self._late):
            steps = self._span = self._steps_ahead(steps, high)
            return self._t + self._span_s(steps)
        self._span = 1
        return self._t + first_s

    def _steps_ahead(self, steps: int, context_high: float) -> int:
        """Steps until the line ends, KV blocks run out, or an arrival is seen, but at most so many."""
        served = self._served
        coming_s = self._coming_s
        if not self._closed and coming_s < NEVER:
            if coming_s <= self._t:
                return 1
            if coming_s < self._t + self._span_s(steps):
                ahead = self._steps_to(coming_s) + self._async
                if ahead < steps:
                    steps = ahead
        if context_high < NEVER:
            steps = min(steps, math.ceil((context_high - self._served_context) / served))
        if self._kv.free < served * ((steps - 1) // self._block_tokens + 1):
            steps = self._steps_in_memory(steps)
        return 1 if self._ready else steps

    def _steps_in_memory(self, steps: int) -> int:
        """How many of these steps the free KV blocks allow; those of the first step are taken already."""
        free, served, size = self._kv.free, self._served, self._block_tokens
        whole = free // served
        done = 1 + whole * size
        free -= whole * served
        while done < steps:
            free -= self._phase[-(self._n + done) % size]
            if free < 0:
                return done
            done += 1
        return steps

    def _span_s(self, steps: int) -> float:
        """Duration of the first steps of this span: k·first + growth·k(k - 1)/2."""
        return self._first_s * steps + self._growth_s * (0.5 * steps * (steps - 1))

    def _steps_to(self, time_s: float) -> int:
        """The step of this span in which a moment falls: the first that ends at or after it, at least 1."""
        begin_s, first_s, growth_s = self._t, self._first_s, self._growth_s
        if begin_s + first_s >= time_s:
            return 1
        gone_s = time_s - begin_s
        b = first_s - 0.5 * growth_s
        steps = int(2.0 * gone_s / (b + math.sqrt(b * b + 2.0 * growth_s * gone_s))) + 1
        while steps > 1 and begin_s + self._span_s(steps - 1) >= time_s:
            steps -= 1
        while begin_s + self._span_s(steps) < time_s:
            steps += 1
        return steps

    def _sleep(self) -> float:
        """Nothing can run: wake up at the next arrival, if it is known."""
        self._idle = True
        self._clear_step()
        return max(self._t, self._coming_s)
