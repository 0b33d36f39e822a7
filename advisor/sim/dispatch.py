"""Sends each request to a replica; starts, kills, drains and revives replicas."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import simpy
from simpy.events import EventPriority

from advisor.sim.alarm import ARRIVAL, LIFECYCLE, Alarm
from advisor.sim.outcome import Outcome
from advisor.sim.result import Life
from advisor.sim.router import Routing
from advisor.sim.scaling import Autoscaler
from advisor.sim.setup import FleetSetup
from advisor.trace.trace import Trace


class Replica(Protocol):
    """What the fleet asks of a replica of either engine."""

    outstanding: int

    def start(self) -> None:
        """Serve from now on, with the preloaded adapters and an empty KV cache."""

    def push(self, request: int, now_s: float) -> None:
        """A request arrives now."""

    def expect(self, requests: array[int], arrival_s: array[float]) -> None:
        """All requests that will ever come, told right after the start."""

    def fail(self) -> list[int]:
        """Die now; returns the requests that were running, then those that waited."""

    def stop(self) -> None:
        """The horizon is now: book what is complete."""


class Dispatch:
    """One simpy event an arrival. `drive.py` has the faster way of the skipping engine."""

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
        self._moved: set[int] = set()  # requests whose replica has died
        self._refused = 0
        self._scaler = Autoscaler(fleet.scaling, fleet.replicas, self) if fleet.scaling else None
        self.start_up_s: dict[int, float] = {}  # seconds that requests waited for the first ready replica

    def begin(self) -> None:
        """Schedule what is known beforehand."""
        if self._scaler:
            self._scaler.begin()
        else:
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
        self._receive(self._env.now)
        self._expect_arrival()

    def _receive(self, now_s: float) -> None:
        """The next request comes."""
        request = self._next
        self._next += 1
        if self._fleet.max_outstanding is not None and self.unfinished() >= self._fleet.max_outstanding:
            self._refused += 1
        else:
            self._route(request, now_s)

    # What an autoscaler asks and does ---------------------------------------------------------------------

    def unfinished(self) -> int:
        """Requests that were handed over or wait for a replica."""
        return len(self._homeless) + sum(self._outstanding())

    def next_arrival_s(self) -> float:
        """When the next request comes; inf: none will."""
        return self._arrivals[self._next] if self._next < len(self._arrivals) else math.inf

    def finished(self, replica: int) -> bool:
        """Whether a replica holds no request."""
        return self._replicas[replica].outstanding == 0

    def serve(self, replica: int) -> None:
        """A replica is ready."""
        self._start(replica)

    def drain(self, replica: int) -> None:
        """A replica gets no further request."""
        self._live[replica] = False

    def switch_off(self, replica: int) -> None:
        """A replica that holds no request ends."""
        left = self._replicas[replica].fail()
        assert not left

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a time, before what arrives then."""
        self._at(time_s, LIFECYCLE, action)

    def lives(self) -> tuple[Life, ...]:
        """Lives of the replicas of a fleet that scales."""
        return tuple(self._scaler.lives) if self._scaler else ()

    # ------------------------------------------------------------------------------------------------------

    def _outstanding(self) -> list[int]:
        """Unfinished requests of each replica."""
        return [replica.outstanding for replica in self._replicas]

    def _route(self, request: int, now_s: float) -> None:
        index = self._routing.pick(self._adapters[request], self._live, self._outstanding())
        if index < 0:
            self._homeless.append(request)
        else:
            self._replicas[index].push(request, now_s)
            self._given(request, index)

    def _given(self, request: int, index: int) -> None:
        """A request has gone to a replica."""
        if self._scaler:
            self._scaler.given(request, index)

    def _start(self, index: int) -> None:
        if self._live[index]:
            return
        self._live[index] = True
        self._replicas[index].start()
        waiting, self._homeless = self._homeless, []
        for request in waiting:
            if request not in self._moved:
                self.start_up_s[request] = self._env.now - self._arrivals[request]
            self._route(request, self._env.now)

    def _fail(self, index: int, recover_after_s: float) -> None:
        """A replica that is not live cannot fail; a recovery is a start."""
        if not self._live[index]:
            return
        self._live[index] = False
        for request in self._replicas[index].fail():
            self._moved.add(request)
            self._route(request, self._env.now)
        if recover_after_s < math.inf:
            self._at(self._env.now + recover_after_s, LIFECYCLE, partial(self._start, index))
