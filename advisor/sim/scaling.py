"""Replicas that come and go with the load: the rule that counts them, and what each one's life cost.

The rule is that of Kubernetes' HorizontalPodAutoscaler for a metric with an average value (KEDA hands its
metrics to it): every `interval_s`, wanted = ceil(unfinished / target), unless unfinished / (target · present)
is within `tolerance` of 1. More replicas are started at once; fewer only once every count wanted within
`window_s` was lower, and then down to the highest of them. An idle fleet of none is woken by the next arrival
itself, as by an activator in front (KEDA's HTTP add-on, Knative). Which one goes: one that still starts, else
the one that is ready since the shortest time, as a ReplicaSet takes them.
Source: kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale, "Algorithm details" and
"Stabilization window"; kubernetes.io/docs/concepts/workloads/controllers/replicaset, "Scaling a ReplicaSet".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from advisor.sim.result import Life
from advisor.sim.setup import Scaling


class Wanted:
    """How many replicas the rule wants; remembers what it wanted within the window."""

    def __init__(self, scaling: Scaling, most: int) -> None:
        self._scaling = scaling
        self._most = most
        self._past: deque[tuple[float, int]] = deque()  # (time, count), counts falling

    def count(self, now_s: float, unfinished: int, present: int) -> int:
        """Replicas to have from now on, of `present` that serve or start."""
        rule = self._scaling
        asked = present
        load = unfinished / rule.target
        if present == 0 or abs(load / present - 1.0) > rule.tolerance:
            asked = math.ceil(load)
        asked = min(max(asked, rule.min_replicas), self._most)
        self.remember(now_s, asked)
        return asked if asked >= present else min(present, self._past[0][1])

    def remember(self, now_s: float, count: int) -> None:
        """So many were wanted; forget what is out of the window, and what a later, higher count hides."""
        while self._past and self._past[-1][1] <= count:
            self._past.pop()
        self._past.append((now_s, count))
        while self._past[0][0] < now_s - self._scaling.window_s:
            self._past.popleft()


class Fleet(Protocol):
    """What an autoscaler asks of the fleet and does to it."""

    def unfinished(self) -> int:
        """Requests at the router and at all replicas."""

    def next_arrival_s(self) -> float:
        """When the next request comes; inf: none will."""

    def finished(self, replica: int) -> bool:
        """Whether a replica holds no request."""

    def serve(self, replica: int) -> None:
        """A replica is ready, its caches as at a start."""

    def drain(self, replica: int) -> None:
        """A replica gets no further request."""

    def switch_off(self, replica: int) -> None:
        """A replica that holds no request ends."""

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a time, before what arrives then."""


class Autoscaler:
    """Starts and drains the replicas of one fleet. `_check` is the loop, `_wake` the activator."""

    def __init__(self, scaling: Scaling, most: int, fleet: Fleet) -> None:
        self._scaling = scaling
        self._fleet = fleet
        self._wanted = Wanted(scaling, most)
        self._free = list(range(most))  # replicas that are off
        self._starting: list[Life] = []  # in the order of their beginning
        self._serving: list[Life] = []  # in the order of their readiness
        self._draining: list[Life] = []
        self._of: dict[int, Life] = {}  # the present life of each replica that is not off
        self.lives: list[Life] = []

    def begin(self) -> None:
        """The least number is ready at once; the first check comes one interval later."""
        for _ in range(self._scaling.min_replicas):
            self._start(0.0, 0.0, warm=True)
        self._wanted.remember(0.0, self._present)
        self._go_on(0.0)

    def given(self, request: int, replica: int) -> None:
        """A request goes to a replica."""
        self._of[replica].requests.append(request)

    @property
    def _present(self) -> int:
        return len(self._starting) + len(self._serving)

    def _check(self, now_s: float) -> None:
        """One round of the loop; the last one when nothing is unfinished and nothing will come."""
        self._switch_off(now_s)
        unfinished = self._fleet.unfinished()
        if unfinished or self._fleet.next_arrival_s() < math.inf:
            self._change(now_s, self._wanted.count(now_s, unfinished, self._present))
            self._go_on(now_s)

    def _wake(self, now_s: float) -> None:
        """A request is about to come to a fleet of none."""
        self._wanted.remember(now_s, 1)
        self._change(now_s, 1)
        self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        """The next check, on a grid from time 0; a fleet of none sleeps until the next arrival instead."""
        if self._present:
            interval_s = self._scaling.interval_s
            number = math.floor(now_s / interval_s) + 1
            time_s = interval_s * (number if interval_s * number > now_s else number + 1)
            self._fleet.at(time_s, partial(self._check, time_s))
        elif (time_s := self._fleet.next_arrival_s()) < math.inf:
            self._fleet.at(time_s, partial(self._wake, time_s))

    def _change(self, now_s: float, wanted: int) -> None:
        while self._present > wanted:
            if self._starting:
                life = self._starting.pop()
                self._end(life, now_s)
            else:
                life = self._serving.pop()
                life.drain_s = now_s
                self._draining.append(life)
                self._fleet.drain(life.replica)
        while self._present < wanted and self._free:
            self._start(now_s, self._scaling.start_up_s)
        self._switch_off(now_s)

    def _start(self, now_s: float, start_up_s: float, *, warm: bool = False) -> None:
        """The free replica of the lowest number begins a life."""
        replica = min(self._free)
        self._free.remove(replica)
        life = self._of[replica] = Life(replica, now_s, warm=warm)
        self.lives.append(life)
        self._starting.append(life)
        self._fleet.at(now_s + start_up_s, partial(self._ready, life, now_s + start_up_s))

    def _ready(self, life: Life, now_s: float) -> None:
        """A start-up ends, unless it was broken off."""
        if life.off_s == math.inf:
            life.ready_s = now_s
            self._starting.remove(life)
            self._serving.append(life)
            self._fleet.serve(life.replica)

    def _switch_off(self, now_s: float) -> None:
        """What has drained ends; since when it was done `closed` finds out."""
        for life in [life for life in self._draining if self._fleet.finished(life.replica)]:
            self._draining.remove(life)
            self._end(life, now_s)
            self._fleet.switch_off(life.replica)

    def _end(self, life: Life, now_s: float) -> None:
        life.off_s = now_s
        del self._of[life.replica]
        self._free.append(life.replica)


def closed(lives: Sequence[Life], last_token_s: Sequence[float], end_s: float) -> tuple[Life, ...]:
    """Lives as they were paid: one that drained is off with its last token, not with the check that saw it.

    Args:
        lives: of one run.
        last_token_s: of each request of the trace, at the engine; NaN: unfinished.
        end_s: of the run; what is on then is paid until then.
    """
    done = []
    for life in lives:
        off_s = min(life.off_s, end_s)
        if life.drain_s < math.inf:
            ends = [last_token_s[request] for request in life.requests]
            if not any(map(math.isnan, ends)):
                off_s = max(life.drain_s, max(ends, default=0.0))
        if life.begin_s < end_s or life.warm:
            done.append(replace(life, off_s=off_s, requests=[]))
    return tuple(done)
