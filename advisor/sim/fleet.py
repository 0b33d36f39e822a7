"""Replicas behind one router: arrivals, late starts, failures, horizon. The entry point of the simulator."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol

import numpy as np
import simpy
from simpy.events import EventPriority

from advisor.sim.alarm import ARRIVAL, LIFECYCLE, Alarm
from advisor.sim.check import check_fleet
from advisor.sim.drafting import DraftingReplica
from advisor.sim.draws import Draws
from advisor.sim.outcome import FRONTEND, Outcome
from advisor.sim.plain import PlainReplica, PlainRun
from advisor.sim.prefixes import prefix_tree
from advisor.sim.result import SimResult
from advisor.sim.router import Routing
from advisor.sim.rundata import RunData
from advisor.sim.setup import FleetSetup
from advisor.sim.skipping import SkippingReplica
from advisor.trace.trace import Trace

Engine = Literal["skipping", "plain"]


class Replica(Protocol):
    """What the fleet asks of a replica of either engine."""

    outstanding: int

    def start(self) -> None:
        """Serve from now on, with the preloaded adapters and an empty KV cache."""

    def push(self, request: int) -> None:
        """A request arrives now."""

    def expect(self, requests: array[int], arrival_s: array[float]) -> None:
        """All requests that will ever come, told right after the start."""

    def fail(self) -> list[int]:
        """Die now; returns the requests that were running, then those that waited."""

    def stop(self) -> None:
        """The horizon is now: book what is complete."""


def simulate_fleet(
    fleet: FleetSetup, trace: Trace, *, seed: int = 0, engine: Engine = "skipping", series: bool = False
) -> SimResult:
    """Simulate a trace on a fleet.

    Args:
        fleet: replicas, router, failures, horizon.
        trace: requests in time.
        seed: of the tokens that verify steps yield; nothing else is drawn.
        engine: "plain" is the step-by-step specification, "skipping" the fast default; they agree to 1e-9.
        series: also return the state of each replica after each scheduling event.

    Raises:
        InputError: a request can never run (KV blocks, adapter, token budget), or the setup is inconsistent.
    """
    check_fleet(fleet, trace)
    env = simpy.Environment()
    speculation = fleet.replica.speculation
    draws = Draws(speculation, seed) if speculation and speculation.draft_length else None
    limits = fleet.replica.limits
    tree = prefix_tree(trace, limits.kv_block_tokens) if limits.prefix_caching else None
    run: PlainRun | RunData
    replicas: Sequence[PlainReplica | SkippingReplica]
    if engine == "plain":
        run = plain = PlainRun(trace, draws, wants_series=series)
        replicas = [PlainReplica(env, index, fleet.replica, plain, tree) for index in range(fleet.replicas)]
    else:
        run = data = RunData(trace, fleet.replica, draws, wants_series=series)
        kind = DraftingReplica if draws else SkippingReplica
        replicas = [kind(env, index, fleet.replica, data, tree) for index in range(fleet.replicas)]
    dispatch = _Dispatch(env, fleet, trace, replicas)
    if _is_foreseen(fleet):
        dispatch.foresee(run.outcome)
    else:
        dispatch.begin()
    env.run(until=fleet.horizon_s)
    for replica in replicas:
        replica.stop()
    outcome = run.finish_run()
    if series:
        outcome.series = [replica.series.columns() for replica in replicas]
    return _result(fleet, trace, outcome, dispatch.notes())


def _is_foreseen(fleet: FleetSetup) -> bool:
    """Whether each request's replica is known beforehand, so that arrivals need no events of their own."""
    static = fleet.replicas == 1 or fleet.router == "round-robin"
    plain = fleet.max_outstanding is None and not fleet.failures
    return static and plain and not any(fleet.start_s)


class _Dispatch:
    """Sends each request to a replica; starts, kills and revives replicas."""

    def __init__(
        self, env: simpy.Environment, fleet: FleetSetup, trace: Trace, replicas: Sequence[Replica]
    ) -> None:
        self._env = env
        self._fleet = fleet
        self._replicas = replicas
        self._routing = Routing(fleet.router, fleet.replicas)
        self._arrivals = array("d", trace.arrival_s.astype(np.float64).tobytes())
        self._adapters = array("q", trace.adapter.astype(np.int64).tobytes())
        self._live = [False] * fleet.replicas
        self._next = 0
        self._arrival = Alarm(env, [self._arrive])
        self._homeless: list[int] = []  # requests that wait for any replica to be live
        self._refused = 0

    def begin(self) -> None:
        """Schedule what is known beforehand."""
        for index, start_s in enumerate(self._fleet.start_s or [0.0] * self._fleet.replicas):
            self._at(start_s, LIFECYCLE, partial(self._start, index))
        for failure in self._fleet.failures:
            self._at(failure.at_s, LIFECYCLE, partial(self._fail, failure.replica, failure.recover_after_s))
        self._expect_arrival()

    def foresee(self, outcome: Outcome) -> None:
        """Give each replica its arrivals at once: request i goes to replica i mod replicas."""
        arrival_s = np.asarray(self._arrivals)
        horizon_s = math.inf if self._fleet.horizon_s is None else self._fleet.horizon_s
        requests = np.arange(int(np.searchsorted(arrival_s, horizon_s, side="right")), dtype=np.int64)
        outcome.replica[: len(requests)] = requests % len(self._replicas)
        for index, replica in enumerate(self._replicas):
            own = requests[index :: len(self._replicas)]
            replica.start()
            replica.expect(array("q", own.tobytes()), array("d", arrival_s[own].tobytes()))

    def notes(self) -> tuple[str, ...]:
        """What the reader of the result should know."""
        notes = []
        if self._homeless:
            notes.append(f"{len(self._homeless)} requests found no live replica until the end.")
        if self._refused:
            most = self._fleet.max_outstanding
            notes.append(f"{self._refused} requests were refused while {most} others were unfinished.")
        return tuple(notes)

    def _at(self, time_s: float, priority: EventPriority, action: Callable[[], None]) -> None:
        Alarm(self._env, [lambda _: action()]).set(time_s, priority)

    def _expect_arrival(self) -> None:
        if self._next < len(self._arrivals):
            self._arrival.set(self._arrivals[self._next], ARRIVAL)

    def _arrive(self, _: simpy.Event) -> None:
        if self._is_full():
            self._refuse()
        else:
            self._next += 1
            self._route(self._next - 1)
        self._expect_arrival()

    def _refuse(self) -> None:
        """Refuse all that come before anything else happens: until then nobody finishes."""
        comes_next = bisect_left(self._arrivals, self._env.peek(), lo=self._next + 1)
        self._refused += comes_next - self._next
        self._next = comes_next

    def _is_full(self) -> bool:
        """Whether `max_outstanding` requests are unfinished."""
        most = self._fleet.max_outstanding
        if most is None:
            return False
        return len(self._homeless) + sum(replica.outstanding for replica in self._replicas) >= most

    def _route(self, request: int) -> None:
        outstanding = [replica.outstanding for replica in self._replicas]
        index = self._routing.pick(self._adapters[request], self._live, outstanding)
        if index < 0:
            self._homeless.append(request)
        else:
            self._replicas[index].push(request)

    def _start(self, index: int) -> None:
        if self._live[index]:
            return
        self._live[index] = True
        self._replicas[index].start()
        waiting, self._homeless = self._homeless, []
        for request in waiting:
            self._route(request)

    def _fail(self, index: int, recover_after_s: float) -> None:
        """A replica that is not live cannot fail; a recovery is a start."""
        if not self._live[index]:
            return
        self._live[index] = False
        for request in self._replicas[index].fail():
            self._route(request)
        if recover_after_s < math.inf:
            self._at(self._env.now + recover_after_s, LIFECYCLE, partial(self._start, index))


def _result(fleet: FleetSetup, trace: Trace, outcome: Outcome, notes: tuple[str, ...]) -> SimResult:
    """Add the frontend, which lies outside the engine loop, and close the columns."""
    setup = fleet.replica
    frontend_s = setup.frontend_s + setup.frontend_per_prompt_token_s * trace.prompt_tokens
    outcome.ttft_causes_s[:, FRONTEND] += frontend_s
    outcome.ttft_causes_s[np.isnan(outcome.first_token_s)] = np.nan
    outcome.decode_causes_s[np.isnan(outcome.last_token_s)] = np.nan
    ends = outcome.end_s if fleet.horizon_s is None else fleet.horizon_s
    return SimResult(
        arrival_s=trace.arrival_s,
        scheduled_s=outcome.scheduled_s,
        first_token_s=outcome.first_token_s + frontend_s,
        last_token_s=outcome.last_token_s + frontend_s,
        prompt_tokens=trace.prompt_tokens,
        output_tokens=trace.output_tokens,
        cached_tokens=outcome.cached_tokens,
        adapter=trace.adapter,
        replica=outcome.replica,
        preemptions=outcome.preemptions,
        verify_steps=outcome.verify_steps,
        ttft_causes_s=outcome.ttft_causes_s,
        decode_causes_s=outcome.decode_causes_s,
        end_s=ends,
        steps=outcome.steps,
        step_time_s=outcome.step_time_s,
        loads_from_disk=outcome.loads_from_disk,
        loads_to_slot=outcome.loads_to_slot,
        load_s=outcome.load_s,
        itl_s=outcome.itl_s,
        itl_weight=outcome.itl_weight,
        series=tuple(outcome.series),
        emitted_tokens=outcome.emitted_tokens,
        notes=notes,
    )
