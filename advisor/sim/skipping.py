"""The skipping engine: one simpy event for all steps in which nothing but decoding can happen.

Same rules as `scheduler.py`, other bookkeeping: decoding requests are sums (how many, their context, their
place within a KV block) and a heap of finishing steps; only prompts that are being computed are listed.
`_turn` is the loop: read it first. What the sums cannot decide (a token budget below the demand, a victim
to be found) is decided by `walk.py`, request by request. Decoding with drafts is in `drafting.py`.
"""

from __future__ import annotations

import math
from array import array
from heapq import heappop, heappush

import numpy as np
import simpy

from advisor.sim.adapters import FROM_DISK, IN_SLOT, AdapterCache
from advisor.sim.alarm import Alarm
from advisor.sim.blocked import BlockedTime
from advisor.sim.draws import Draws
from advisor.sim.kv import KvBlocks
from advisor.sim.ledger import DECODE, TTFT, Ledger
from advisor.sim.loads import LoadChannels, load_s
from advisor.sim.outcome import Outcome, SeriesRows
from advisor.sim.prefixes import PrefixTree
from advisor.sim.setup import ReplicaSetup
from advisor.sim.verify import Verify
from advisor.sim.waiting import REQUEST, SHIFT, Line, WaitingByAdapter
from advisor.steptime.batch import Batch, DecodeLine
from advisor.trace.trace import BASE, Trace

_NEVER = math.inf


class SkippingRun:
    """What the replicas of one run share: the trace's columns, what was emitted before a preemption, the ledger."""

    def __init__(self, trace: Trace, setup: ReplicaSetup, draws: Draws | None, *, wants_series: bool) -> None:
        self.trace = trace
        self.draws = draws
        self.wants_series = wants_series
        self.verify = Verify(trace, draws, setup.limits.kv_block_tokens) if draws else None
        self.ledger = Ledger(len(trace))
        self.outcome = Outcome.empty(len(trace))
        self.prompt = array("q", trace.prompt_tokens.tobytes())
        self.output = array("q", trace.output_tokens.tobytes())
        self.adapter = array("q", trace.adapter.tobytes())
        self.finish = array("q", [0]) * len(trace)  # step of its replica at whose end a decoding request finishes
        self.emitted: dict[int, int] = {}  # answer so far of requests that were preempted, or moved
        self.preempted_at_s: dict[int, float] = {}  # since when they wait
        self.last_emission_s: dict[int, float] = {}  # of requests whose last token is not one step old
        self.refills: dict[int, int] = {}  # times that a request came back and computed its answer again
        self.place = self._places(trace) if setup.limits.policy == "priority" else None

    @staticmethod
    def _places(trace: Trace) -> array[int]:
        """Rank of each request by (priority, arrival, row), for the priority policy."""
        priority = trace.priority if trace.priority is not None else np.zeros(len(trace), dtype=np.int64)
        order = np.lexsort((trace.arrival_s, priority))
        places = np.empty(len(trace), dtype=np.int64)
        places[order] = np.arange(len(trace))
        return array("q", places.tobytes())

    def finish_run(self) -> Outcome:
        """Columns from the ledger."""
        outcome = self.outcome
        self.ledger.fill(outcome, self.trace.arrival_s)
        done = ~np.isnan(outcome.last_token_s)
        outcome.emitted_tokens[done] = self.trace.output_tokens[done]
        for request, tokens in self.emitted.items():
            if not done[request]:
                outcome.emitted_tokens[request] = tokens
        if self.draws is None:
            outcome.verify_steps[:] = np.maximum(outcome.emitted_tokens - 1, 0)
            for request, times in self.refills.items():
                outcome.verify_steps[request] -= times
        return outcome


class SkippingReplica:
    """One replica. Steps are counted in `n`; everything about decoding requests is relative to it."""

    width = 1  # tokens that a decoding request takes a step

    def __init__(
        self, env: simpy.Environment, index: int, setup: ReplicaSetup, shared: SkippingRun, tree: PrefixTree | None
    ) -> None:
        self.env = env
        self.index = index
        self.setup = setup
        self.tree = tree
        self.outstanding = 0
        self.series = SeriesRows()
        self._run = shared
        self._limits = setup.limits
        self._lora = setup.limits.max_loras > 0
        self._async = setup.limits.async_scheduling
        self._overlapped = setup.limits.load_mode == "overlapped"
        self._alive = False

    def start(self) -> None:
        """Serve from now on, with empty caches."""
        limits, now = self._limits, self.env.now
        self._alive = True
        self._kv = KvBlocks(self.setup.kv_blocks, self.tree)
        self._cache = AdapterCache(limits.max_loras, limits.max_cpu_loras)
        self._loading: set[int] = set()  # overlapped: not yet seen to be in their slots
        self._reserved: set[int] = set()  # overlapped: loading or loaded, not yet used
        self._ready: list[tuple[float, int]] = []  # loads that have ended, not yet seen
        self._channels = LoadChannels(self.env, self.setup.loads, self._load_ended)
        self._waiting = WaitingByAdapter(self._run.adapter, self._cache.pins, self._loading) if self._lora else Line()
        self._blocked = BlockedTime(self._cache.pins, now)
        self._inbox = array("q")  # requests that arrive, in time; those before `_seen` have been taken in
        self._inbox_s = array("d")
        self._seen = 0
        self._noted = 0  # those before it know how long their adapter had been blocked when they arrived
        self._last_place = 1 << 30
        self._first_place = 1 << 30
        self._running: dict[int, int] = {}  # admission number -> request, in the order of admission
        self._admissions = 0
        self._partial: dict[int, int] = {}  # admission number -> tokens computed, of unfinished prompts
        self._n = 0
        self._decodes = 0
        self._context = 0  # KV tokens of the decoding requests
        self._finishing: list[int] = []  # heap of step * 2^32 + admission number; some are out of date
        self._phase = [0] * limits.kv_block_tokens  # decoding requests by (context - n) mod block
        self._late: set[int] = set()  # decoding requests that missed their last step
        self._lines: dict[int, tuple[int, DecodeLine, float, float]] = {}
        self._t = now
        self._step_start_s = now
        self._row = -1
        self._idle = True
        self._clear_step()
        self._alarm = Alarm(self.env, self._ring)
        self._alarm_at_s = _NEVER

    def _clear_step(self) -> None:
        """Nothing is under way."""
        self._chunks: list[tuple[int, int, int, int]] = []  # (admission number, tokens before, new tokens, completes)
        self._missing: dict[int, int] = {}  # running requests without a part in this step, by admission number
        self._stall_s = 0.0
        self._kind = -1
        self._span = 0  # steps until the alarm
        self._first_s = 0.0  # duration of the first of them
        self._slope_s = 0.0  # seconds a context token
        self._growth_s = 0.0  # by which each is longer than the one before
        self._served = 0
        self._served_context = 0

    # Events ------------------------------------------------------------------------------------------------

    def push(self, request: int) -> None:
        """A request arrives from the router."""
        now = self.env.now
        self.outstanding += 1
        self._run.outcome.replica[request] = self.index
        self._inbox.append(request)
        self._inbox_s.append(now)
        self._something_comes(now)

    def prefill_inbox(self, requests: array[int], arrival_s: array[float]) -> None:
        """All requests that will ever come, where routing does not depend on the state."""
        self._inbox, self._inbox_s = requests, arrival_s
        self.outstanding += len(requests)
        if len(requests):
            self._set_alarm(max(arrival_s[0], self._t))

    def fail(self) -> list[int]:
        """Die: the step under way is lost. Returns the requests to be routed anew, running ones first."""
        now, run = self.env.now, self._run
        self._alive = False
        self._cut_short(now)
        self._channels.closed = True
        prefilling = {chunk[0] for chunk in self._chunks}.union(self._partial)
        orphans = list(self._running.values())
        for number in list(self._running):
            self._interrupt(number, decoding=number not in prefilling)
        waiting = [entry & REQUEST for entry in self._waiting.entries()] + list(self._inbox[self._seen :])
        for request in waiting:
            adapter = run.adapter[request]
            if adapter >= 0 and request not in run.preempted_at_s:
                run.ledger.adapter_wait_s[request] += self._blocked.blocked_s(adapter, now)
                if self._overlapped:
                    run.ledger.load_wait_s[request] += self._blocked.load_s(adapter, now)
        self.outstanding = 0
        return orphans + waiting

    def stop(self) -> None:
        """The horizon is reached: what has been scheduled but not computed does not count."""
        if not self._alive:
            return
        self._cut_short(self.env.now)
        prefilling = {chunk[0] for chunk in self._chunks}.union(self._partial)
        for number, request in self._running.items():
            if number not in prefilling:
                self._run.emitted[request], _ = self._stop_decoding(request)

    def _cut_short(self, now: float) -> None:
        """Book the steps of the present span that have ended, and ring no more."""
        self._alarm.callbacks = []
        if not self._idle and self._span > 1:
            steps = min(self._steps_to(now), self._span) - 1
            if steps > 0:
                self._complete(steps, self._t + self._span_s(steps))
        if self._lora:
            self._note_arrivals(now)
            self._blocked.advance(now)

    def _load_ended(self, adapter: int) -> None:
        now = self.env.now
        self._note_arrivals(now)
        self._blocked.load_ends(adapter, now)
        self._ready.append((now, adapter))
        self._something_comes(now)

    def _something_comes(self, now: float) -> None:
        """Wake up, or end the span with the step in which it is seen."""
        if self._idle:
            if now < self._alarm_at_s:
                self._set_alarm(now)
        elif self._span > 1:
            steps = self._steps_to(now) + self._async
            if steps < self._span:
                self._span = steps
                self._set_alarm(self._t + self._span_s(steps))

    def _set_alarm(self, time_s: float) -> None:
        if self._alarm_at_s < _NEVER:  # the present setting is void
            self._alarm.callbacks = []
            self._alarm = Alarm(self.env, self._ring)
        self._alarm_at_s = time_s
        self._alarm.set(time_s)

    def _ring(self) -> None:
        time_s = self._alarm_at_s
        self._alarm_at_s = _NEVER
        if self._idle:
            self._t = time_s
            self._row = self._run.ledger.add(self.index, time_s, 0.0, -1, 0, 0, 0, 0)
            if self._lora:
                self._note_arrivals(time_s)
                self._blocked.advance(time_s)
        else:
            self._complete(self._span, time_s)
        self._turn()

    def _turn(self) -> None:
        """Between two steps: emit, retire, take in, schedule, and find how long nothing else can happen."""
        if self._chunks:
            self._end_prompts()
        finishing, n = self._finishing, self._n
        if finishing and finishing[0] >> SHIFT <= n:
            self._retire()
        self._take_in()
        while True:
            preempted = self._schedule()
            if self._chunks or self._served or not preempted:
                break
        if self._lora:
            self._blocked.settle(self._cache.full)
        if self._run.wants_series:
            self._note_state()
        if self._chunks:
            self._mixed_step()
        elif self._served:
            self._quiet_steps(preempted)
        else:
            self._sleep()

    # A span ends ---------------------------------------------------------------------------------------------

    def _complete(self, steps: int, time_s: float) -> None:
        """Book the first steps of the span under way."""
        run = self._run
        served = self._served
        for number, request in self._missing.items():
            if number not in self._partial:
                self._put_off(number, request)
        contexts = self._grow(steps)
        on_time = served
        if self._late:
            on_time -= self._end_late(time_s)
        self._row = run.ledger.add(
            self.index, time_s, self._stall_s, self._kind, steps, contexts, self._served_context, on_time
        )
        self._step_start_s = self._t + self._span_s(steps - 1) if steps > 1 else self._t
        self._n += steps
        self._t = time_s
        if self._missing:
            for request in self._missing.values():
                run.ledger.missed.append((request, self._row, self._phase_of(request)))
            self._missing = {}
        if self._lora:
            self._note_arrivals(time_s)
            self._blocked.advance(time_s)

    def _grow(self, steps: int) -> int:
        """Every decoding request gets a token a step; returns its contexts summed over the steps."""
        served = self._served
        self._context += served * steps
        if steps == 1:
            return self._served_context
        self._kv.take(self._blocks_due(self._n + 1, steps - 1))
        return steps * self._served_context + served * (steps * (steps - 1) // 2)

    def _end_late(self, time_s: float) -> int:
        """Requests that had missed steps emit again: their gap is longer than a step. How many."""
        run = self._run
        missing = self._missing.values()
        back = [request for request in self._late if request not in missing]
        for request in back:
            run.ledger.gaps_s.append(time_s - run.last_emission_s.pop(request))
            self._late.remove(request)
        return len(back)

    def _phase_of(self, request: int) -> int:
        return DECODE if self._run.ledger.first[request] >= 0 else TTFT

    def _end_prompts(self) -> None:
        """Chunks are computed; where one completes its prompt, the request gets a token and decodes from now on."""
        run, row = self._run, self._row
        chunks, self._chunks = self._chunks, []
        self._stall_s = 0.0
        for number, before, tokens, completes in chunks:
            if not completes:
                self._partial[number] = before + tokens
                continue
            request = self._running[number]
            self._partial.pop(number, None)
            if self.tree is not None:
                self._kv.register(request)
            emitted = 1
            if request in run.emitted:
                emitted += run.emitted.pop(request)
            if run.ledger.first[request] < 0:
                run.ledger.first[request] = row
            else:
                run.ledger.gaps_s.append(self._t - run.last_emission_s.pop(request))
                run.refills[request] = run.refills.get(request, 0) + 1
            self._begin_decoding(number, request, emitted)

    def _begin_decoding(self, number: int, request: int, emitted: int) -> None:
        run = self._run
        finish = run.finish[request] = self._n + run.output[request] - emitted
        context = run.prompt[request] + emitted - 1
        self._decodes += 1
        self._context += context
        self._phase[(context - self._n) % len(self._phase)] += 1
        heappush(self._finishing, (finish << SHIFT) + number)

    def _stop_decoding(self, request: int) -> tuple[int, int]:
        """Take a request out of the sums; returns the tokens it has emitted and its KV blocks."""
        run = self._run
        emitted = self._n - run.finish[request] + run.output[request]
        context = run.prompt[request] + emitted - 1
        self._decodes -= 1
        self._context -= context
        self._phase[(context - self._n) % len(self._phase)] -= 1
        return emitted, -(-context // len(self._phase))

    def _retire(self) -> None:
        """Finished requests leave, in the order of their admission."""
        run, finishing, n = self._run, self._finishing, self._n
        last, row, running = run.ledger.last, self._row, self._running
        while finishing and finishing[0] >> SHIFT <= n:
            number = heappop(finishing) & REQUEST
            request = running.get(number, -1)
            if request < 0 or run.finish[request] != n:
                continue  # out of date: preempted or late since
            del running[number]
            last[request] = row
            _, blocks = self._stop_decoding(request)
            self._kv.release(request, blocks)
            if self._lora:
                self._unpin(run.adapter[request])
            self.outstanding -= 1

    # What comes in -------------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Arrivals and loads that the scheduler sees now (`plain.py: _take_in` says which)."""
        until_s = self._step_start_s if self._async and self._running else _NEVER
        if until_s > self._t:
            until_s = self._t
        seen, inbox_s = self._seen, self._inbox_s
        while seen < len(inbox_s) and inbox_s[seen] <= until_s:
            self._last_place += 1
            request = self._inbox[seen]
            place = self._last_place if self._run.place is None else self._run.place[request]
            self._waiting.push((place << SHIFT) + request)
            seen += 1
        self._seen = seen
        while self._ready and self._ready[0][0] <= until_s:
            _, adapter = self._ready.pop(0)
            self._loading.remove(adapter)
            self._waiting.activate(adapter)

    def _note_arrivals(self, time_s: float) -> None:
        """Requests that have arrived remember how long their adapter had been kept out by then."""
        run, blocked = self._run, self._blocked
        noted, inbox_s = self._noted, self._inbox_s
        while noted < len(inbox_s) and inbox_s[noted] <= time_s:
            request = self._inbox[noted]
            adapter = run.adapter[request]
            if adapter >= 0 and request not in run.preempted_at_s:
                run.ledger.adapter_wait_s[request] -= blocked.blocked_s(adapter, inbox_s[noted])
                if self._overlapped:
                    loaded = blocked.load_s(adapter, inbox_s[noted])
                    run.ledger.load_wait_s[request] = run.ledger.load_wait_s.get(request, 0.0) - loaded
            noted += 1
        self._noted = noted

    # Scheduling ------------------------------------------------------------------------------------------------

    def _schedule(self) -> int:
        """Who runs in the next step; returns how many were preempted for it."""
        left = self._limits.max_num_batched_tokens - self._decodes * self.width
        due = self._blocks_due(self._n, 1) if self._decodes else 0
        self._served, self._served_context = self._decodes, self._context
        if self._partial or left < 0 or due > self._kv.free:
            left, preempted = self._continue_running(left, due)
            if preempted:
                return preempted
        else:
            self._kv.take(due)
        if left > 0 and len(self._waiting):
            self._admit(left)
        return 0

    def _blocks_due(self, step: int, steps: int) -> int:
        """KV blocks that the decoding requests begin in so many steps, after `step` have been made."""
        phase = self._phase
        size = len(phase)
        if steps == 1:
            return phase[-step % size]
        whole, rest = divmod(steps, size)
        return whole * self._decodes + sum(phase[-(step + i) % size] for i in range(rest))

    def _continue_running(self, left: int, due: int) -> tuple[int, int]:
        """Running requests where prompts are unfinished, or tokens or blocks may not suffice for all.

        Returns the budget left (0 if somebody got nothing) and how many requests were preempted.
        """
        chunks = self._next_chunks(left) if left >= 0 else None
        if chunks is not None:
            size = self._limits.kv_block_tokens
            for _, before, tokens, _ in chunks:
                due += -(-(before + tokens) // size) + (-before // size)
                left -= tokens
            if due <= self._kv.free:
                self._kv.take(due)
                self._chunks = chunks
                return left, 0
        return self._walk()

    def _next_chunks(self, left: int) -> list[tuple[int, int, int, int]] | None:
        """Chunks of the unfinished prompts, or None where the order of running requests matters."""
        chunks = []
        for number, before in self._partial.items():
            wanted = tokens = self._prompt_left(number)
            if tokens > left:
                if not left or number != next(reversed(self._running)):
                    return None
                tokens = left
            tokens = self._chunk(tokens)
            chunks.append((number, before, tokens, tokens == wanted))
            left -= tokens
        return chunks

    def _prompt_left(self, number: int) -> int:
        """Tokens to compute of an unfinished prompt (and of the answer, after a preemption)."""
        run, request = self._run, self._running[number]
        return run.prompt[request] + run.emitted.get(request, 0) - self._partial[number]

    def _chunk(self, tokens: int) -> int:
        """The threshold for long prefills, which is off for a request that is alone."""
        threshold = self._limits.long_prefill_token_threshold
        if 0 < threshold < tokens and (len(self._running) > 1 or len(self._waiting)):
            return threshold
        return tokens

    # The literal step: one request after the other ---------------------------------------------------------------

    def _walk(self) -> tuple[int, int]:
        """What `Scheduler._continue_running` does, for the rare steps in which the order decides."""
        kv, running = self._kv, self._running
        order = list(running)
        left = self._limits.max_num_batched_tokens
        parts: dict[int, tuple[int, int]] = {}  # admission number -> tokens, blocks
        preempted = position = 0
        while position < len(order):
            number = order[position]
            tokens, blocks = self._wanted(number, left)
            if not tokens:
                break
            while blocks > kv.free and number in running:
                victim = self._victim()
                order.remove(victim)
                preempted += 1
                tokens_back, blocks_back = parts.pop(victim, (0, 0))
                left += tokens_back
                position -= tokens_back > 0
                self._preempt(victim, blocks_back)
            if number not in running:
                break
            kv.take(blocks)
            parts[number] = tokens, blocks
            left -= tokens
            position += 1
        self._take_parts(parts)
        return 0 if self._missing else left, preempted

    def _wanted(self, number: int, left: int) -> tuple[int, int]:
        """Tokens and KV blocks that a running request wants; no tokens if the budget does not suffice."""
        size = self._limits.kv_block_tokens
        if number not in self._partial:
            return (self.width if self.width <= left else 0), self._blocks_wanted(self._running[number])
        before = self._partial[number]
        tokens = self._chunk(min(self._prompt_left(number), left))
        return tokens, -(-(before + tokens) // size) + (-before // size)

    def _take_parts(self, parts: dict[int, tuple[int, int]]) -> None:
        """The step's chunks and decodes, and who misses it."""
        self._chunks = []
        self._served = self._served_context = 0
        for number, (tokens, _) in parts.items():
            if number in self._partial:
                self._chunks.append((number, self._partial[number], tokens, tokens == self._prompt_left(number)))
            else:
                self._served += 1
                self._served_context += self._context_of(self._running[number])
        if not parts:
            return  # no step: the scheduler is asked again
        for number, request in self._running.items():
            if number not in parts:
                self._missing[number] = request
                if number not in self._partial:
                    self._run.last_emission_s.setdefault(request, self._t)
                    self._late.add(request)

    def _victim(self) -> int:
        """Admission number of the request to preempt: the newest, or the least urgent."""
        place = self._run.place
        if place is None:
            return next(reversed(self._running))
        return max(self._running, key=lambda number: place[self._running[number]])

    def _preempt(self, number: int, blocks_of_step: int) -> None:
        """A running request gives everything back and waits again."""
        run = self._run
        request = self._running[number]
        self._first_place -= 1
        place = self._first_place if run.place is None else run.place[request]
        blocks = self._interrupt(number, decoding=number not in self._partial)
        self._kv.release(request, blocks + blocks_of_step)
        if self._lora:
            self._unpin(run.adapter[request])
        self._waiting.push((place << SHIFT) + request)

    def _interrupt(self, number: int, *, decoding: bool) -> int:
        """A request stops to run at the present row, and will compute everything again; returns its KV blocks."""
        run, ledger = self._run, self._run.ledger
        request = self._running.pop(number)
        if decoding:
            run.emitted[request], blocks = self._stop_decoding(request)
            run.last_emission_s.setdefault(request, self._t)
            self._late.discard(request)
        else:
            blocks = -(-self._partial.pop(number, 0) // self._limits.kv_block_tokens)
        phase = self._phase_of(request)
        begin = ledger.admitted[request] if phase == TTFT else ledger.resumed.get(request, ledger.first[request])
        ledger.segments.append((request, begin, self._row, phase))
        run.preempted_at_s[request] = self._t
        run.outcome.preemptions[request] += 1
        return blocks

    def _context_of(self, request: int) -> int:
        """KV tokens of a decoding request."""
        run = self._run
        return run.prompt[request] + self._n - run.finish[request] + run.output[request] - 1

    def _blocks_wanted(self, request: int) -> int:
        """KV blocks that a decoding request begins in the next step."""
        return int(self._context_of(request) % self._limits.kv_block_tokens == 0)

    def _put_off(self, number: int, request: int) -> None:
        """A decoding request misses the next step: all of its steps come one later."""
        size = len(self._phase)
        phase = (self._context_of(request) - self._n) % size
        self._phase[phase] -= 1
        self._phase[phase - 1] += 1
        self._run.finish[request] += 1
        heappush(self._finishing, (self._run.finish[request] << SHIFT) + number)

    def _admit(self, left: int) -> None:
        """Admit waiting requests; `left` tokens of the budget are free."""
        waiting, cache, kv, running = self._waiting, self._cache, self._kv, self._running
        run, block_tokens = self._run, self._limits.kv_block_tokens
        threshold = self._limits.long_prefill_token_threshold
        while left > 0 and len(running) < self._limits.max_num_seqs:
            entry = waiting.first(len(cache.pins) >= cache.slots)
            if entry is None:
                return
            request = entry & REQUEST
            adapter = run.adapter[request]
            if self._overlapped and adapter >= 0 and adapter not in cache.in_slots:
                self._begin_load(adapter)
                continue
            tokens = run.prompt[request]
            if request in run.emitted:
                tokens += run.emitted[request]
            hit, hit_free = kv.match(request)
            if -(-tokens // block_tokens) - hit > kv.free - hit_free:
                return
            alone = not running and len(waiting) == 1
            waiting.pop(entry)
            kv.hold(request)
            cached = hit * block_tokens
            chunk = tokens - cached
            if chunk > left:
                chunk = left
            if 0 < threshold < chunk and not alone:
                chunk = threshold
            kv.take(-(-(cached + chunk) // block_tokens) - hit)
            self._admissions += 1
            running[self._admissions] = request
            if adapter >= 0:
                self._pin(adapter)
            self._begin(request, cached)
            completes = cached + chunk == tokens
            if not completes:
                self._partial[self._admissions] = cached
            self._chunks.append((self._admissions, cached, chunk, completes))
            left -= chunk

    def _begin(self, request: int, cached_tokens: int) -> None:
        """A request is admitted at the present row."""
        run, ledger, row = self._run, self._run.ledger, self._row
        since = run.preempted_at_s.pop(request, None) if run.preempted_at_s else None
        if since is None:
            if cached_tokens:
                run.outcome.cached_tokens[request] = cached_tokens
            ledger.admitted[request] = row
            adapter = run.adapter[request]
            if adapter >= 0:
                ledger.adapter_wait_s[request] += self._blocked.blocked_s(adapter, self._t)
                if self._overlapped:
                    ledger.load_wait_s[request] += self._blocked.load_s(adapter, self._t)
            return
        phase = self._phase_of(request)
        ledger.preempted_s.append((request, phase, self._t - since))
        if phase == DECODE:
            ledger.resumed[request] = row
        else:
            ledger.scheduled.setdefault(request, ledger.admitted[request])
            ledger.admitted[request] = row

    def _pin(self, adapter: int) -> None:
        """A request of this adapter is admitted."""
        cache = self._cache
        if adapter in cache.pins:
            cache.pins[adapter] += 1
        else:
            self._count_load(adapter, cache.pin(adapter))
            self._blocked.pinned(adapter)
            self._waiting.activate(adapter)
        if adapter in self._reserved:
            self._reserved.remove(adapter)
            cache.unpin(adapter)

    def _unpin(self, adapter: int) -> None:
        if adapter >= 0 and self._cache.unpin(adapter):
            self._blocked.unpinned(adapter)

    def _begin_load(self, adapter: int) -> None:
        """Overlapped: the adapter of a waiting request gets a slot and is brought in."""
        self._loading.add(adapter)
        self._reserved.add(adapter)
        origin = self._cache.pin(adapter)
        self._count_load(adapter, origin)
        self._blocked.pinned(adapter)
        self._blocked.load_begins(adapter, self._t)
        self._channels.start(adapter, origin)

    def _count_load(self, adapter: int, origin: int) -> None:
        if origin == IN_SLOT:
            return
        outcome = self._run.outcome
        seconds = load_s(self.setup.loads, adapter, origin)
        outcome.loads_to_slot += 1
        outcome.loads_from_disk += origin == FROM_DISK
        outcome.load_s += seconds
        if not self._overlapped:
            self._stall_s += seconds

    # How long nothing else can happen ---------------------------------------------------------------------------

    def _adapters_in_step(self) -> int:
        """Distinct adapters among the requests of the next step."""
        if self._missing:
            taking_part = set(self._running.values()).difference(self._missing.values())
            return len({self._run.adapter[request] for request in taking_part} - {BASE})
        return len(self._cache.pins) - len(self._reserved)

    def _mixed_step(self) -> None:
        """One step with prompt chunks."""
        served, width = self._served, self.width
        outputs = served * width
        chunks = []
        for _, before, tokens, completes in self._chunks:
            chunks.append((tokens, before))
            outputs += completes
        parts = self.setup.clock.parts(
            Batch(served, self._served_context, tuple(chunks), outputs, width - 1, self._adapters_in_step())
        )
        self._kind = self._run.ledger.add_mixed(parts)
        self._idle = False
        self._span = 1
        self._set_alarm(self._t + (sum(parts) + self._stall_s))

    def _quiet_steps(self, preempted: int) -> None:
        """Steps of decoding only, up to the next event."""
        self._kind, line, at_zero_s, slope_s = self._line()
        self._slope_s = slope_s
        self._first_s = at_zero_s + slope_s * self._served_context
        self._growth_s = slope_s * self._served
        self._idle = False
        self._span = self._steps_ahead(line) if not (preempted or self._missing or self._late) else 1
        self._set_alarm(self._t + self._span_s(self._span))

    def _line(self) -> tuple[int, DecodeLine, float, float]:
        """(its number, the line, its seconds at no context, its seconds a context token) for the present batch."""
        served, context, adapters = self._served, self._served_context, self._adapters_in_step()
        key = served * 1_000_003 + adapters
        found = self._lines.get(key)
        if found is None or not found[1].context_low <= context < found[1].context_high:
            line = self.setup.clock.decode_line(served, adapters, self.width - 1, context)
            found = self._run.ledger.add_line(line), line, sum(line.at_zero), sum(line.slope)
            self._lines[key] = found
        return found

    def _steps_ahead(self, line: DecodeLine) -> int:
        """Steps until a request finishes, the line ends, KV blocks run out, or an arrival is seen."""
        steps = (self._finishing[0] >> SHIFT) - self._n
        if steps <= 1:
            return 1
        if line.context_high < _NEVER:
            steps = min(steps, math.ceil((line.context_high - self._served_context) / self._served))
        if steps > 1:
            steps = self._steps_in_memory(steps)
        if steps > 1 and self._seen < len(self._inbox_s):
            coming_s = self._inbox_s[self._seen]
            if coming_s <= self._t:
                return 1
            if coming_s < self._t + self._span_s(steps):
                steps = min(steps, self._steps_to(coming_s) + self._async)
        if steps > 1 and self._ready:
            return 1
        return steps

    def _steps_in_memory(self, steps: int) -> int:
        """How many of these steps the free KV blocks allow; those of the first step are taken already."""
        free, served, size = self._kv.free, self._served, len(self._phase)
        if served * ((steps - 1) // size + 1) <= free:
            return steps
        whole = free // served
        done = 1 + whole * size
        if done >= steps:
            return steps
        free -= whole * served
        while done < steps:
            free -= self._phase[-(self._n + done) % size]
            if free < 0:
                return done
            done += 1
        return steps

    def _span_s(self, steps: int) -> float:
        """Duration of the first steps of this span: k·first + growth·k(k - 1)/2."""
        return self._first_s * steps + self._growth_s * (steps * (steps - 1) / 2)

    def _steps_to(self, time_s: float) -> int:
        """The step of this span in which a moment falls: the first that ends at or after it, at least 1."""
        gone_s = time_s - self._t
        first_s, growth_s = self._first_s, self._growth_s
        if gone_s <= first_s:
            return 1
        steps = int(gone_s / first_s) + 1
        if growth_s > 0.0:
            b = first_s - 0.5 * growth_s
            steps = int(2.0 * gone_s / (b + math.sqrt(b * b + 2.0 * growth_s * gone_s))) + 1
        while steps > 1 and self._t + self._span_s(steps - 1) >= time_s:
            steps -= 1
        while self._t + self._span_s(steps) < time_s:
            steps += 1
        return steps

    def _sleep(self) -> None:
        """Nothing can run: wake up at the next arrival, if it is known."""
        self._idle = True
        self._clear_step()
        if self._seen < len(self._inbox_s):
            self._set_alarm(max(self._t, self._inbox_s[self._seen]))

    def _note_state(self) -> None:
        used = self.setup.kv_blocks - self._kv.free
        counts = len(self._running), len(self._waiting), used, len(self._cache.pins), len(self._cache.in_slots)
        self.series.rows.append((self._t, *counts))
