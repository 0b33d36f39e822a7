"""The plain engine: one replica, one simpy event a step, every request an object. The specification.

Read `run` first. The skipping engine (`skipping.py`) must give the same times and causes to 1e-9.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Generator

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Initialize

from advisor.sim.adapters import FROM_DISK
from advisor.sim.draws import Draws
from advisor.sim.kv import KvBlocks
from advisor.sim.loads import LoadChannels, load_s
from advisor.sim.outcome import ADAPTER_WAIT, FIRST_COMPONENT, LOAD, PREEMPTED, QUEUE, Outcome, SeriesRows
from advisor.sim.prefixes import PrefixTree
from advisor.sim.scheduler import Request, Scheduler, StepPlan
from advisor.sim.setup import ReplicaSetup
from advisor.steptime.batch import Batch, StepParts
from advisor.trace.trace import BASE, Trace

_ROUNDING = 1e-14
"""Of a time: an event after `time - now` may come so much before the time."""


class PlainReplica:
    """One replica's life, step by step."""

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        setup: ReplicaSetup,
        shared: PlainRun,
        tree: PrefixTree | None,
    ) -> None:
        self.env = env
        self.index = index
        self.setup = setup
        self.tree = tree
        self.outstanding = 0  # requests handed over and not finished
        self.series = SeriesRows()
        self._run = shared
        self._process: simpy.Process | None = None

    def start(self) -> None:
        """Begin to serve, with the preloaded adapters and an empty KV cache."""
        setup = self.setup
        gamma = setup.speculation.draft_length if setup.speculation else 0
        self._inbox: deque[tuple[float, Request]] = deque()  # arrived, not yet seen by the scheduler
        self._ready: deque[tuple[float, int]] = deque()  # adapters that have arrived, not yet seen
        self._loading: set[int] = set()
        self._wake = self.env.event()
        self._idle = True
        self._step_start_s = self._charged_s = self.env.now
        kv = KvBlocks(setup.kv_blocks, self.tree, keeps=setup.limits.prefix_caching)
        self._scheduler = Scheduler(setup.limits, kv, gamma)
        self._scheduler.adapters.preload(setup.preloaded)
        self._channels = LoadChannels(self.env, setup.loads, self._load_ended)
        self._process = self.env.process(self.run())

    def push(self, request: int, now_s: float) -> None:
        """A request arrives from the router."""
        self.outstanding += 1
        self._run.hand_over(request, now_s, self.index)
        self._inbox.append((now_s, self._run.request(request)))
        self._wake_up()

    def expect(self, requests: array[int], arrival_s: array[float]) -> None:
        """All requests that will ever come, where routing does not depend on the state."""
        self.env.process(self._deliver(requests, arrival_s))

    def _deliver(self, requests: array[int], arrival_s: array[float]) -> Generator[simpy.Event, None, None]:
        for request, time_s in zip(requests, arrival_s, strict=True):
            if time_s - self.env.now > _ROUNDING * time_s:
                yield self.env.timeout(time_s - self.env.now)
            self.push(request, self.env.now)

    def run(self) -> Generator[simpy.Event, None, None]:
        """See what came, schedule, wait for the step's end, book it; sleep where nothing can run."""
        try:
            while True:
                self._take_in()
                plan = self._schedule()
                if plan.shares:
                    yield from self._step(plan)
                elif not plan.preempted:
                    self._idle = True
                    yield self._wake
                    self._wake = self.env.event()
                    self._charge_waiting()
        except simpy.Interrupt:
            return

    def fail(self) -> list[int]:
        """Die: the step under way is lost. Returns the requests to be routed anew, running ones first."""
        assert self._process is not None
        if isinstance(begin := self._process.target, Initialize):  # it has started in this instant
            begin.callbacks = []
        else:
            self._process.interrupt()
        self._channels.closed = True
        self._charge_waiting()
        running = len(self._scheduler.running)
        orphans = self._scheduler.drain()
        for request in orphans[:running]:
            self._run.preempted[request.index] = self._step_start_s
        orphans += [request for _, request in self._inbox]
        for request in orphans:
            self._run.moved_s[request.index] = self.env.now
        self.outstanding = 0
        return [request.index for request in orphans]

    def stop(self) -> None:
        """The horizon is reached: what has been scheduled but not computed does not count."""

    def _wake_up(self) -> None:
        if self._idle and not self._wake.triggered:
            self._wake.succeed()

    def _take_in(self) -> None:
        """Requests and adapters that the scheduler can see now.

        With asynchronous scheduling the next step is decided while one runs: what comes during step n is
        seen at the end of step n + 1, unless the replica is idle (engines.md 5.8).
        """
        behind = self.setup.limits.async_scheduling and bool(self._scheduler.running)
        seen_until_s = self._step_start_s if behind else float("inf")
        while self._inbox and self._inbox[0][0] <= seen_until_s:
            self._scheduler.add(self._inbox.popleft()[1])
        while self._ready and self._ready[0][0] <= seen_until_s:
            self._scheduler.adapter_ready(self._ready.popleft()[1])

    def _schedule(self) -> StepPlan:
        scheduler, now = self._scheduler, self.env.now
        plan = scheduler.schedule()
        for request in plan.preempted:
            self._run.preempted[request.index] = now
        for share in plan.shares:
            self._run.begin(share.request, now)
        self._count_loads(plan)
        if self._run.wants_series:
            used = self.setup.kv_blocks - scheduler.kv.free
            slots = len(scheduler.adapters.in_slots)
            counts = len(scheduler.running), len(scheduler.waiting), used, scheduler.active_adapters, slots
            self.series.rows.append((now, *counts))
        return plan

    def _count_loads(self, plan: StepPlan) -> None:
        outcome = self._run.outcome
        overlapped = self.setup.limits.load_mode == "overlapped"
        for adapter, origin in plan.loads:
            outcome.loads_to_slot += 1
            outcome.loads_from_disk += origin == FROM_DISK
            outcome.load_s += load_s(self.setup.loads, adapter, origin)
            if overlapped:
                self._loading.add(adapter)
                self._channels.start(adapter, origin, self.env.now)

    def _step(self, plan: StepPlan) -> Generator[simpy.Event, None, None]:
        """Load what has to be loaded first, compute, emit."""
        self._idle = False
        self._step_start_s = self.env.now
        stalled_s = 0.0
        if self.setup.limits.load_mode == "blocking":
            for adapter, origin in plan.loads:
                stalled_s += load_s(self.setup.loads, adapter, origin)
        parts = self.setup.clock.parts(self._batch(plan))
        duration_s = parts.total + stalled_s
        yield self.env.timeout(duration_s)
        self._charge_waiting()
        self._charge_running(plan, parts, stalled_s, duration_s)
        self._run.outcome.steps += 1
        self._run.outcome.step_time_s += duration_s
        self._run.outcome.end_s = self.env.now
        done = self._scheduler.finish_step(
            plan, [self._emit(share.request) if share.emits else 0 for share in plan.shares]
        )
        if self.setup.speculation is not None:
            self._scheduler.draft_length = self.setup.speculation.length_after(len(plan.shares))
        self.outstanding -= len(done)
        for request in done:
            self._run.outcome.last_token_s[request.index] = self.env.now

    def _batch(self, plan: StepPlan) -> Batch:
        gamma = self._scheduler.draft_length
        decodes = [share for share in plan.shares if not share.prefill]
        chunks = [share for share in plan.shares if share.prefill]
        return Batch(
            decodes=len(decodes),
            context_tokens=sum(share.context_tokens for share in decodes),
            chunks=tuple((share.new_tokens, share.context_tokens) for share in chunks),
            outputs=len(decodes) * (gamma + 1) + sum(share.emits for share in chunks),
            draft_length=gamma,
            adapters=len({share.request.adapter for share in plan.shares} - {BASE}),
        )

    def _emit(self, request: Request) -> int:
        """Tokens that a request gets at the end of this step."""
        run, row, now = self._run, request.index, self.env.now
        tokens = 1
        if not request.prefilling:
            if run.draws:
                left, done = (
                    request.output_tokens - request.emitted_tokens,
                    int(run.outcome.verify_steps[row]),
                )
                drafted = self._scheduler.draft_length
                tokens = min(left, run.draws.tokens(row, request.adapter, done, drafted))
            run.outcome.verify_steps[row] += 1
        if request.emitted_tokens:
            run.gaps_s.append(now - run.last_emission_s[row])
        else:
            run.outcome.first_token_s[row] = now
        run.last_emission_s[row] = now
        return tokens

    def _charge_running(self, plan: StepPlan, parts: StepParts, stalled_s: float, duration_s: float) -> None:
        """A step's seconds go to the components, for those in it; to the queue, for those who missed it."""
        inside = {share.request.index for share in plan.shares}
        for request in self._scheduler.running:
            causes = self._run.causes(request)
            if request.index not in inside:
                causes[QUEUE] += duration_s
                continue
            causes[LOAD] += stalled_s
            for component, seconds in enumerate(parts, start=FIRST_COMPONENT):
                causes[component] += seconds

    def _charge_waiting(self) -> None:
        """The seconds since the last call go to what kept each waiting request waiting."""
        now = self.env.now
        for request in (*self._scheduler.waiting, *(request for _, request in self._inbox)):
            if request.index in self._run.preempted:
                continue
            cause = QUEUE
            if request.adapter in self._loading:
                cause = LOAD
            elif self._scheduler.is_blocked(request.adapter):
                cause = ADAPTER_WAIT
            self._run.causes(request)[cause] += now - max(self._charged_s, self._run.moved_s[request.index])
        self._charged_s = now

    def _load_ended(self, adapter: int) -> None:
        self._charge_waiting()
        self._loading.remove(adapter)
        self._ready.append((self.env.now, adapter))
        self._wake_up()


class PlainRun:
    """What the replicas of one run share: request objects, luck, results."""

    def __init__(self, trace: Trace, draws: Draws | None, *, wants_series: bool) -> None:
        self.outcome = Outcome.empty(len(trace))
        self.draws = draws
        self.wants_series = wants_series
        self.preempted: dict[int, float] = {}  # request -> since when it waits after a preemption
        self.last_emission_s: dict[int, float] = {}
        self.moved_s: list[float] = (
            trace.arrival_s.tolist()
        )  # when it arrived, or came to or left its last replica
        self.gaps_s: list[float] = []  # between two emissions of one request
        priority = trace.priority if trace.priority is not None else [0] * len(trace)
        columns = zip(
            trace.prompt_tokens.tolist(),
            trace.output_tokens.tolist(),
            trace.adapter.tolist(),
            [int(p) for p in priority],
            trace.arrival_s.tolist(),
            strict=True,
        )
        self._requests = [Request(row, *values) for row, values in enumerate(columns)]

    def request(self, row: int) -> Request:
        """The object of this row of the trace."""
        return self._requests[row]

    def causes(self, request: Request) -> NDArray[np.float64]:
        """The row that the present seconds of a request belong to."""
        phase = self.outcome.decode_causes_s if request.emitted_tokens else self.outcome.ttft_causes_s
        row: NDArray[np.float64] = phase[request.index]
        return row

    def hand_over(self, row: int, now: float, replica: int) -> None:
        """A request comes to a replica; if none was live, it has waited for one."""
        self.outcome.replica[row] = replica
        if row not in self.preempted:
            self.causes(self._requests[row])[QUEUE] += now - self.moved_s[row]
        self.moved_s[row] = now

    def begin(self, request: Request, now: float) -> None:
        """A request gets its part of a step: note its first one, end its wait after a preemption."""
        row = request.index
        if self.outcome.scheduled_s[row] != self.outcome.scheduled_s[row]:
            self.outcome.scheduled_s[row] = now
        since = self.preempted.pop(row, None)
        if since is not None:
            self.causes(request)[PREEMPTED] += now - since

    def finish_run(self) -> Outcome:
        """Columns from the objects."""
        for request in self._requests:
            self.outcome.cached_tokens[request.index] = max(0, request.cached_tokens)
            self.outcome.preemptions[request.index] = request.preemptions
            self.outcome.emitted_tokens[request.index] = request.emitted_tokens
        self.outcome.itl_s = np.asarray(self.gaps_s, dtype=np.float64)
        self.outcome.itl_weight = np.ones(len(self.gaps_s), dtype=np.int64)
        return self.outcome
