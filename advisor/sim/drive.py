"""All replicas of the skipping engine in one loop, inside one simpy event wherever simpy has no other.

Between two arrivals no replica depends on another, and a router asks only how many requests each has not
finished. So each replica runs ahead on its own, up to just before the next arrival, or the next event of
somebody else in simpy's queue: a start, a failure, the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import simpy

from advisor.sim.alarm import ARRIVAL, STEP, Alarm
from advisor.sim.dispatch import Dispatch
from advisor.sim.outcome import Outcome
from advisor.sim.setup import FleetSetup
from advisor.sim.skipping import SkippingReplica
from advisor.trace.trace import Trace


class Drive(Dispatch):
    """Arrivals and turns of replicas in the order of time; `_go_on` is the loop."""

    def __init__(
        self, env: simpy.Environment, fleet: FleetSetup, trace: Trace, replicas: Sequence[SkippingReplica]
    ) -> None:
        super().__init__(env, fleet, trace, replicas)
        self._engines = replicas
        self._due_s = [math.inf] * fleet.replicas  # when each replica has something to do next
        self._unfinished_of = [0] * fleet.replicas
        self._alarm = Alarm(env, [self._ring])
        self._alarm_s = math.inf

    def begin(self) -> None:
        """Schedule what is known beforehand."""
        super().begin()
        self._go_on(0.0)

    def foresee(self, outcome: Outcome) -> None:
        """Give each replica its arrivals at once."""
        super().foresee(outcome)
        self._next = len(self._arrivals)
        self._look_at_replicas()
        self._go_on(0.0)

    def _ring(self, _: simpy.Event) -> None:
        """Go on past simpy's queue while nobody else has an event. What arrives at its time arrives first."""
        arrivals, time_s, self._alarm_s = self._arrivals, self._alarm_s, math.inf
        while self._next < len(arrivals) and arrivals[self._next] <= time_s:
            self._receive(arrivals[self._next])
        self._go_on(self._env.peek())

    def _go_on(self, limit_s: float) -> None:
        """All that happens before a moment; then set the alarm for what comes next."""
        arrivals, due_s = self._arrivals, self._due_s
        while True:
            arrival_s = arrivals[self._next] if self._next < len(arrivals) else math.inf
            until_s = arrival_s if arrival_s < limit_s else limit_s
            if min(due_s) < until_s:
                self._run(until_s)
            if arrival_s >= limit_s:
                break
            self._receive(arrival_s)
        self._set_alarm(arrival_s, min(due_s))

    def _run(self, until_s: float) -> None:
        """Each replica's turns before a moment."""
        due_s, unfinished = self._due_s, self._unfinished_of
        for index, time_s in enumerate(due_s):
            if time_s < until_s:
                engine = self._engines[index]
                due_s[index] = engine.run(until_s)
                unfinished[index] = engine.outstanding

    def _set_alarm(self, arrival_s: float, turn_s: float) -> None:
        """Ring at the earlier of these."""
        if self._alarm_s < math.inf:
            self._alarm.silence()
            self._alarm = Alarm(self._env, [self._ring])
        self._alarm_s = min(arrival_s, turn_s)
        if self._alarm_s < math.inf:
            self._alarm.set(self._alarm_s, ARRIVAL if arrival_s <= turn_s else STEP)

    def _expect_arrival(self) -> None:
        """Arrivals are in the loop."""

    def _outstanding(self) -> list[int]:
        return self._unfinished_of

    def _route(self, request: int, now_s: float) -> None:
        index = self._routing.pick(self._adapters[request], self._live, self._unfinished_of)
        if index < 0:
            self._homeless.append(request)
        else:
            engine = self._engines[index]
            engine.push(request, now_s)
            self._due_s[index] = engine.due_s
            self._unfinished_of[index] += 1
            if self._scaler:
                self._scaler.given(request, index)

    def _start(self, index: int) -> None:
        super()._start(index)
        self._look_at_replicas()
        self._go_on(self._env.now)

    def _fail(self, index: int, recover_after_s: float) -> None:
        super()._fail(index, recover_after_s)
        self._look_at_replicas()
        self._go_on(self._env.now)

    def switch_off(self, replica: int) -> None:
        """A replica that holds no request ends."""
        super().switch_off(replica)
        self._due_s[replica] = self._engines[replica].due_s

    def _look_at_replicas(self) -> None:
        """A replica has started or died."""
        for index, engine in enumerate(self._engines):
            self._due_s[index] = engine.due_s
            self._unfinished_of[index] = engine.outstanding
