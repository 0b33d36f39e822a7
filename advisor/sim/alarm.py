"""An event at a given time with a priority and one callback: `simpy.Timeout`, but reusable and cheaper."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from simpy.core import SimTime
from simpy.events import NORMAL, EventPriority

LIFECYCLE = EventPriority(NORMAL - 3)
ARRIVAL = EventPriority(NORMAL - 2)
STEP = NORMAL
"""Order of events at one instant: starts and failures, arrivals, then steps and loads."""


Ring = Callable[[simpy.Event], None]


class Alarm(simpy.Event):
    """Calls back at a time. May be set again once it has rung."""

    __slots__ = ("_rings",)

    def __init__(self, env: simpy.Environment, rings: list[Ring]) -> None:
        """`rings` is what is called; alarms may share it."""
        self.env = env
        self._ok = True
        self._value = None
        self._rings = rings

    def set(self, time_s: SimTime, priority: EventPriority = STEP) -> None:
        """Ring at this time, or now if it has passed."""
        self.callbacks = self._rings
        delay_s = time_s - self.env.now
        self.env.schedule(self, priority, delay_s if delay_s > 0.0 else 0.0)

    def silence(self) -> None:
        """Let a set alarm pass without a sound; it cannot be set again before that time."""
        self.callbacks = []
