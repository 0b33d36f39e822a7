"""State of one replica of the skipping engine, and everything that happens to it outside the loop's hot path.

Decoding requests are sums: how many, their context, their place within a KV block, and a heap of the steps
in which they finish. Only prompts that are being computed are listed. Steps are counted in `_n`.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from heapq import heappush

import simpy

from advisor.sim.adapters import FROM_DISK, IN_SLOT, AdapterCache
from advisor.sim.blocked import BlockedTime
from advisor.sim.kv import KvBlocks
from advisor.sim.ledger import DECODE, TTFT
from advisor.sim.loads import LoadTimes, load_s
from advisor.sim.oneadapter import WaitingForOne
from advisor.sim.outcome import SeriesRows
from advisor.sim.prefixes import PrefixTree
from advisor.sim.rundata import RunData, line_key
from advisor.sim.setup import ReplicaSetup
from advisor.sim.waiting import REQUEST, SHIFT, Line, WaitingByAdapter

NEVER = math.inf


class Bookkeeping:
    """State of a replica. `SkippingReplica` is what runs."""

    __slots__ = (
        "_admissions",
        "_alive",
        "_async",
        "_block_tokens",
        "_blocked",
        "_budget",
        "_cache",
        "_chunks",
        "_closed",
        "_coming_s",
        "_context",
        "_decodes",
        "_finishing",
        "_first_place",
        "_first_s",
        "_growth_s",
        "_has_tree",
        "_idle",
        "_inbox",
        "_inbox_s",
        "_kind",
        "_kv",
        "_last_place",
        "_late",
        "_limits",
        "_line_key",
        "_loading",
        "_loads",
        "_lora",
        "_missing",
        "_n",
        "_note_s",
        "_noted",
        "_overlapped",
        "_partial",
        "_phase",
        "_ready",
        "_reserved",
        "_row",
        "_run",
        "_running",
        "_seen",
        "_served",
        "_served_context",
        "_slope_s",
        "_span",
        "_stall_s",
        "_step_start_s",
        "_t",
        "_waiting",
        "env",
        "index",
        "outstanding",
        "series",
        "setup",
        "tree",
        "width",
    )

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        setup: ReplicaSetup,
        shared: RunData,
        tree: PrefixTree | None,
    ) -> None:
        self.env = env
        self.index = index
        self.setup = setup
        self.tree = tree
        self.outstanding = 0  # requests handed over and not finished
        self.series = SeriesRows()
        self.width = 1  # tokens that a decoding request takes a step
        self._line_key = line_key(0)
        self._run = shared
        self._limits = setup.limits
        self._block_tokens = setup.limits.kv_block_tokens
        self._budget = setup.limits.max_num_batched_tokens
        self._has_tree = tree is not None
        self._lora = setup.limits.max_loras > 0
        self._async = setup.limits.async_scheduling
        self._overlapped = setup.limits.load_mode == "overlapped"
        self._alive = False

    def start(self) -> None:
        """Serve from now on, with the preloaded adapters and an empty KV cache."""
        limits, now = self._limits, self.env.now
        self._alive = True
        self._kv = KvBlocks(self.setup.kv_blocks, self.tree, keeps=limits.prefix_caching)
        self._cache = AdapterCache(limits.max_loras, limits.max_cpu_loras)
        self._cache.preload(self.setup.preloaded)
        self._loading: set[int] = set()  # overlapped: not yet seen to be in their slots
        self._reserved: set[int] = set()  # overlapped: loading or loaded, not yet used
        self._ready: deque[tuple[float, int]] = deque()  # loads that have ended, not yet seen
        self._loads = LoadTimes(self.setup.loads)
        self._running: dict[int, int] = {}  # admission number -> request, in the order of admission
        self._waiting: Line | WaitingByAdapter = Line()
        if self._lora:
            self._waiting = WaitingByAdapter(self._run.adapter, self._cache.pins, self._loading)
        if limits.batching == "one_adapter":
            self._waiting = WaitingForOne(self._run.adapter, self._running, limits.max_num_seqs)
        self._blocked = BlockedTime(self._cache.pins, now)
        self._inbox = array("q")  # requests as they come; those before `_seen` are taken in
        self._inbox_s = array("d")
        self._seen = 0
        self._coming_s = NEVER  # when the first that is not taken in comes, if known
        self._noted = 0  # those before it know how long their adapter had been blocked when they came
        self._note_s = NEVER  # when the first that does not came
        self._first_place = self._last_place = 1 << 30
        self._admissions = 0
        self._partial: dict[int, int] = {}  # admission number -> tokens computed, of unfinished prompts
        self._n = 0
        self._decodes = 0
        self._context = 0  # KV tokens of the decoding requests
        self._finishing: list[int] = []  # heap of step · 2^32 + admission number; some are out of date
        self._phase = [0] * self._block_tokens  # decoding requests by (context - n) mod block
        self._late: set[int] = set()  # decoding requests that missed their last step
        self._t = self._step_start_s = now
        self._row = -1
        self._idle = True
        self._closed = False  # nobody can be admitted before a request has finished
        self._slope_s = self._first_s = self._growth_s = 0.0
        self._clear_step()

    def _clear_step(self) -> None:
        """Nothing is under way."""
        self._chunks: list[tuple[int, int, int, bool]] = []  # (admission, before, new, completes)
        self._missing: dict[int, int] = {}  # admission -> request: no part in this step
        self._stall_s = 0.0
        self._kind = -1
        self._span = 0  # steps until the alarm
        self._served = self._served_context = 0  # decoding requests in the step, and their context

    # Decoding requests ----------------------------------------------------------------------------------

    def _begin_decoding(self, number: int, request: int, emitted: int) -> None:
        """A prompt is done and its token emitted."""
        run = self._run
        finish = run.finish[request] = self._n + run.output[request] - emitted
        context = run.prompt[request] + emitted - 1
        self._decodes += 1
        self._context += context
        self._phase[(context - self._n) % self._block_tokens] += 1
        heappush(self._finishing, (finish << SHIFT) + number)

    def _stop_decoding(self, request: int) -> tuple[int, int]:
        """Take a request out of the sums; returns the tokens it has emitted and its KV blocks."""
        run = self._run
        emitted = self._n - run.finish[request] + run.output[request]
        context = run.prompt[request] + emitted - 1
        self._decodes -= 1
        self._context -= context
        self._phase[(context - self._n) % self._block_tokens] -= 1
        return emitted, -(-context // self._block_tokens)

    def _context_of(self, request: int) -> int:
        """KV tokens of a decoding request."""
        run = self._run
        return run.prompt[request] + self._n - run.finish[request] + run.output[request] - 1

    def _blocks_wanted(self, request: int) -> int:
        """KV blocks that a decoding request begins in the next step."""
        return int(self._context_of(request) % self._block_tokens == 0)

    def _put_off(self, number: int, request: int) -> None:
        """A decoding request misses the next step: all of its steps come one later."""
        phase = (self._context_of(request) - self._n) % self._block_tokens
        self._phase[phase] -= 1
        self._phase[phase - 1] += 1
        self._run.finish[request] += 1
        heappush(self._finishing, (self._run.finish[request] << SHIFT) + number)

    def _phase_of(self, request: int) -> int:
        """Whether a request waits for its first token, or for others."""
        return DECODE if self._run.ledger.first[request] >= 0 else TTFT

    def _interrupt(self, number: int, *, decoding: bool) -> int:
        """A request stops to run at the present row, to compute all again; returns its KV blocks."""
        run, ledger = self._run, self._run.ledger
        request = self._running.pop(number)
        if decoding:
            run.emitted[request], blocks = self._stop_decoding(request)
            run.last_emission_s.setdefault(request, self._t)
            self._late.discard(request)
        else:
            blocks = -(-self._partial.pop(number, 0) // self._block_tokens)
        phase = self._phase_of(request)
        begin = ledger.admitted[request]
        if phase == DECODE:
            begin = ledger.resumed.get(request, ledger.first[request])
        ledger.segments.append((request, begin, self._row, phase))
        run.preempted_at_s[request] = self._t
        run.outcome.preemptions[request] += 1
        return blocks

    def _preempt(self, number: int, blocks_of_step: int) -> None:
        """A running request gives everything back and waits again."""
        run = self._run
        request = self._running[number]
        self._first_place -= 1
        place = self._first_place if run.place is None else run.place[request]
        computed = self._partial.get(number, -1)
        blocks = self._interrupt(number, decoding=computed < 0)
        if computed < 0:
            computed = run.prompt[request] + run.emitted[request] - 1
        self._kv.release(request, blocks + blocks_of_step, computed // self._block_tokens)
        if self._lora:
            self._unpin(run.adapter[request])
        self._waiting.push((place << SHIFT) + request)

    def _begin(self, request: int, cached_tokens: int) -> None:
        """A request is admitted at the present row."""
        run, ledger, row = self._run, self._run.ledger, self._row
        if request not in run.preempted_at_s:
            if cached_tokens:
                run.cached[request] = cached_tokens
            ledger.admitted[request] = row
            if self._lora:
                self._charge_wait(request, self._t)
            return
        since = run.preempted_at_s.pop(request)
        phase = self._phase_of(request)
        ledger.preempted_s.append((request, phase, self._t - since))
        if phase == DECODE:
            ledger.resumed[request] = row
        else:
            ledger.scheduled.setdefault(request, ledger.admitted[request])
            ledger.admitted[request] = row

    # Adapters -------------------------------------------------------------------------------------------

    def _pin(self, adapter: int) -> None:
        """A request of this adapter is admitted."""
        cache = self._cache
        if adapter in cache.pins:
            cache.pins[adapter] += 1
            if adapter in self._reserved:
                self._reserved.remove(adapter)
                cache.unpin(adapter)
            return
        origin = cache.pin(adapter)
        if origin != IN_SLOT:
            self._count_load(adapter, origin)
        self._blocked.pinned(adapter)
        self._waiting.activate(adapter)

    def _unpin(self, adapter: int) -> None:
        """A request of this adapter has left."""
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
        self._loads.start(adapter, origin, self._t)

    def _load_ended(self) -> None:
        """The next load of the channels."""
        now, adapter = self._loads.end()
        if self._note_s <= now:
            self._note_arrivals(now)
        self._blocked.load_ends(adapter, now)
        self._ready.append((now, adapter))
        self._something_comes(now)

    def _something_comes(self, now: float) -> None:
        """A request or an adapter has come."""
        raise NotImplementedError

    def _count_load(self, adapter: int, origin: int) -> None:
        outcome = self._run.outcome
        seconds = load_s(self.setup.loads, adapter, origin)
        outcome.loads_to_slot += 1
        outcome.loads_from_disk += origin == FROM_DISK
        outcome.load_s += seconds
        if not self._overlapped:
            self._stall_s += seconds

    # Waiting requests -----------------------------------------------------------------------------------

    def _pass_time(self, time_s: float) -> None:
        """Before anything changes: what is owed to the adapters up to now."""
        if self._note_s <= time_s:
            self._note_arrivals(time_s)
        if self._blocked.full:
            self._blocked.advance(time_s)

    def _note_arrivals(self, time_s: float) -> None:
        """Requests that have come remember how long their adapter had been kept out by then."""
        run, blocked = self._run, self._blocked
        noted, inbox_s = self._noted, self._inbox_s
        while noted < len(inbox_s) and inbox_s[noted] <= time_s:
            request = self._inbox[noted]
            adapter = run.adapter[request]
            if adapter >= 0 and request not in run.preempted_at_s:
                run.ledger.adapter_wait_s[request] -= blocked.blocked_s(adapter, inbox_s[noted])
                if self._overlapped:
                    loaded_s = blocked.load_s(adapter, inbox_s[noted])
                    run.ledger.load_wait_s[request] = run.ledger.load_wait_s.get(request, 0.0) - loaded_s
            noted += 1
        self._noted = noted
        self._note_s = inbox_s[noted] if noted < len(inbox_s) else NEVER

    def _charge_wait(self, request: int, now: float) -> None:
        """A wait ends: the time in which its adapter was kept out or under way."""
        run = self._run
        adapter = run.adapter[request]
        if adapter >= 0:
            run.ledger.adapter_wait_s[request] += self._blocked.blocked_s(adapter, now)
            if self._overlapped:
                run.ledger.load_wait_s[request] += self._blocked.load_s(adapter, now)

    def _give_up_all(self, now: float) -> list[int]:
        """The replica dies: its requests, running ones first."""
        run = self._run
        prefilling = {chunk[0] for chunk in self._chunks}.union(self._partial)
        orphans = list(self._running.values())
        for number in list(self._running):
            self._interrupt(number, decoding=number not in prefilling)
        waiting = [entry & REQUEST for entry in self._waiting.entries()] + list(self._inbox[self._seen :])
        for request in waiting:
            if request not in run.preempted_at_s:
                self._charge_wait(request, now)
        return orphans + waiting

    def _book_unfinished(self) -> None:
        """The horizon is reached: what the running requests have emitted."""
        prefilling = {chunk[0] for chunk in self._chunks}.union(self._partial)
        for number, request in self._running.items():
            if number not in prefilling:
                self._run.emitted[request], _ = self._stop_decoding(request)

    def _note_state(self) -> None:
        """A row of the series."""
        used = self.setup.kv_blocks - self._kv.free
        cache = self._cache
        counts = len(self._running), self._waiting.size, used, len(cache.pins), len(cache.in_slots)
        self.series.rows.append((self._t, *counts))
