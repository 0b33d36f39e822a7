"""Adapter loads beside the batch (`load_mode = overlapped`): one channel a hop, first come, first served."""

from __future__ import annotations

from collections.abc import Callable, Generator

import simpy

from advisor.sim.adapters import FROM_DISK
from advisor.sim.setup import AdapterLoads


class LoadChannels:
    """Disk to host memory, host memory to slot: each carries one adapter at a time."""

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


def load_s(loads: AdapterLoads, adapter: int, origin: int) -> float:
    """Seconds of one load without waiting for a channel."""
    disk_s = loads.disk_to_cpu_s[adapter] if origin == FROM_DISK else 0.0
    return disk_s + loads.cpu_to_slot_s[adapter]
