"""All replicas of the skipping engine in one loop, inside one simpy event wherever simpy has no other.

Between two arrivals no replica depends on another, and a router asks only how many requests each has not
finished. So each replica runs ahead on its own, up to just before the next arrival, or the next event of
somebody else in simpy's queue: a start, a failure, the horizon. Who is due and who has the least to do
comes from heaps, so that an arrival costs the same in a fleet of a thousand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush

import simpy

from advisor.sim.alarm import ARRIVAL, STEP, Alarm
from advisor.sim.dispatch import Dispatch
from advisor.sim.outcome import Outcome
from advisor.sim.ranks import Ranks
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
        self._agenda: list[tuple[float, int]] = []  # heap of the same; some entries are out of date
        self._ranks = Ranks(fleet.replicas)
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
        for index in range(len(self._engines)):
            self._ranks.join(index)
            self._look_at(index)
        self._go_on(0.0)

    def _ring(self, _: simpy.Event) -> None:
        """Go on past simpy's queue while nobody else has an event. What arrives at its time arrives first."""
        arrivals, time_s, self._alarm_s = self._arrivals, self._alarm_s, math.inf
        while self._next < len(arrivals) and arrivals[self._next] <= time_s:
            self._receive(arrivals[self._next])
        self._go_on(self._env.peek())

    def _go_on(self, limit_s: float) -> None:
        """All that happens before a moment; then set the alarm for what comes next."""
        arrivals, agenda = self._arrivals, self._agenda
        while True:
            arrival_s = arrivals[self._next] if self._next < len(arrivals) else math.inf
            until_s = arrival_s if arrival_s < limit_s else limit_s
            if agenda and agenda[0][0] < until_s:
                self._run(until_s)
            if arrival_s >= limit_s:
                break
            self._receive(arrival_s)
        while agenda and agenda[0][0] != self._due_s[agenda[0][1]]:
            heappop(agenda)
        self._set_alarm(arrival_s, agenda[0][0] if agenda else math.inf)

    def _run(self, until_s: float) -> None:
        """Each replica's turns before a moment."""
        agenda, due_s = self._agenda, self._due_s
        due = []
        while agenda and agenda[0][0] < until_s:
            time_s, index = heappop(agenda)
            if due_s[index] == time_s:
                due_s[index] = math.inf
                due.append(index)
        due.sort()  # rows of the ledger come in the order of replicas
        for index in due:
            engine = self._engines[index]
            self._note_due(index, engine.run(until_s))
            self._ranks.set(index, engine.outstanding)

    def _note_due(self, index: int, time_s: float) -> None:
        """When a replica has something to do next."""
        if time_s != self._due_s[index]:
            self._due_s[index] = time_s
            if time_s < math.inf:
                heappush(self._agenda, (time_s, index))

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

    def _unfinished(self) -> int:
        return len(self._homeless) + self._ranks.total

    def _route(self, request: int, now_s: float) -> None:
        ranks = self._ranks
        index = self._routing.pick_ranked(self._adapters[request], self._live, ranks)
        if index < 0:
            self._homeless.append(request)
        else:
            engine = self._engines[index]
            engine.push(request, now_s)
            self._note_due(index, engine.due_s)
            ranks.set(index, engine.outstanding)

    def _start(self, index: int) -> None:
        if not self._live[index]:
            self._ranks.join(index)
        super()._start(index)
        self._look_at(index)
        self._go_on(self._env.now)

    def _fail(self, index: int, recover_after_s: float) -> None:
        if self._live[index]:
            self._ranks.leave(index)
        super()._fail(index, recover_after_s)
        self._look_at(index)
        self._go_on(self._env.now)

    def _look_at(self, index: int) -> None:
        """A replica has started or died."""
        self._note_due(index, self._engines[index].due_s)
        self._ranks.set(index, self._engines[index].outstanding)
