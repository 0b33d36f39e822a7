"""Adapter loads beside the batch (`load_mode = overlapped`): one channel a hop, first come, first served."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator

import simpy

from advisor.sim.adapters import FROM_DISK
from advisor.sim.setup import AdapterLoads


class LoadChannels:
    """Disk to host memory, host memory to slot: each carries one adapter at a time. On simpy."""

    __slots__ = ("_disk", "_env", "_link", "_loads", "_on_ready", "closed")

    def __init__(self, env: simpy.Environment, loads: AdapterLoads, on_ready: Callable[[int], None]) -> None:
        self._env = env
        self._loads = loads
        self._on_ready = on_ready
        self._disk = simpy.Resource(env)
        self._link = simpy.Resource(env)
        self.closed = False  # the replica died: what is under way arrives nowhere

    def start(self, adapter: int, origin: int, begin_s: float) -> None:
        """Load from this time on, which is not past; `on_ready(adapter)` is called when it is in its slot."""
        self._env.process(self._carry(adapter, origin, begin_s))

    def _carry(self, adapter: int, origin: int, begin_s: float) -> Generator[simpy.Event, None, None]:
        if begin_s > self._env.now:
            yield self._env.timeout(begin_s - self._env.now)
        if origin == FROM_DISK:
            with self._disk.request() as turn:
                yield turn
                yield self._env.timeout(self._loads.disk_to_cpu_s[adapter])
        with self._link.request() as turn:
            yield turn
            yield self._env.timeout(self._loads.cpu_to_slot_s[adapter])
        if not self.closed:
            self._on_ready(adapter)


class LoadTimes:
    """The same two channels for the skipping engine, by sums: when will the next load end?"""

    __slots__ = ("_disk_free_s", "_link_free_s", "_loads", "_on_disk", "_on_link", "next_s")

    def __init__(self, loads: AdapterLoads) -> None:
        self._loads = loads
        self._disk_free_s = self._link_free_s = 0.0
        self._on_disk: deque[tuple[float, int]] = deque()  # (when it will be in host memory, adapter)
        self._on_link: deque[tuple[float, int]] = deque()  # (when it will be in its slot, adapter)
        self.next_s = math.inf  # when the next load ends, unless another overtakes it on the link

    def start(self, adapter: int, origin: int, begin_s: float) -> None:
        """Load from this time on; times do not fall from call to call, and no load that ended is due."""
        while self._on_disk and self._on_disk[0][0] <= begin_s:
            self._send()
        if origin == FROM_DISK:
            self._disk_free_s = max(begin_s, self._disk_free_s) + self._loads.disk_to_cpu_s[adapter]
            self._on_disk.append((self._disk_free_s, adapter))
        else:
            self._carry(adapter, begin_s)
        self._look()

    def end(self) -> tuple[float, int]:
        """(when, which adapter) of the load that `next_s` announced."""
        if not self._on_link:
            self._send()
        ended = self._on_link.popleft()
        self._look()
        return ended

    def _send(self) -> None:
        """The next adapter from disk is in host memory."""
        read_s, adapter = self._on_disk.popleft()
        self._carry(adapter, read_s)

    def _carry(self, adapter: int, from_s: float) -> None:
        self._link_free_s = max(from_s, self._link_free_s) + self._loads.cpu_to_slot_s[adapter]
        self._on_link.append((self._link_free_s, adapter))

    def _look(self) -> None:
        if self._on_link:
            self.next_s = self._on_link[0][0]
        elif self._on_disk:
            read_s, adapter = self._on_disk[0]
            self.next_s = max(read_s, self._link_free_s) + self._loads.cpu_to_slot_s[adapter]
        else:
            self.next_s = math.inf


def load_s(loads: AdapterLoads, adapter: int, origin: int) -> float:
    """Seconds of one load without waiting for a channel."""
    disk_s = loads.disk_to_cpu_s[adapter] if origin == FROM_DISK else 0.0
    return disk_s + loads.cpu_to_slot_s[adapter]
