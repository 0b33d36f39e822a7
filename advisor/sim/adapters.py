"""Which adapters are on the device, which in host memory, and who has to go (engines.md 5.3).

Two least-recently-used caches: slots (`max_loras`) and host memory (`max_cpu_loras`). An adapter in a slot
is in host memory too; one that leaves host memory leaves its slot. Adapters of running requests, and those
whose overlapped load was begun for a waiting request, are pinned: they are never evicted. Among idle
adapters the order is that of their last use; adapters that became idle in one step follow the order of
their requests, so that names and indices do not matter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

IN_SLOT: Final = 0
FROM_CPU: Final = 1
FROM_DISK: Final = 2


class AdapterCache:
    """Slots and host memory of one replica. Every operation is O(1)."""

    __slots__ = ("_idle_cpu", "_idle_slots", "cpu_capacity", "in_cpu", "in_slots", "pins", "slots")

    def __init__(self, slots: int, cpu_capacity: int) -> None:
        assert cpu_capacity >= slots
        self.slots = slots
        self.cpu_capacity = cpu_capacity
        self.pins: dict[int, int] = {}  # adapter -> requests (and a load) that pin it; only pinned ones
        self.in_slots: set[int] = set()
        self.in_cpu: set[int] = set()
        self._idle_slots: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._idle_cpu: OrderedDict[int, None] = OrderedDict()

    @property
    def full(self) -> bool:
        """Whether every slot is pinned, so that no further adapter may run."""
        return len(self.pins) >= self.slots

    def may_run(self, adapter: int) -> bool:
        """Whether a request of this adapter may join the batch, or its load may begin."""
        return adapter in self.pins or len(self.pins) < self.slots

    def preload(self, adapters: Iterable[int]) -> None:
        """Bring adapters in one after another, as at the start of an engine; what does not fit is evicted."""
        if self.slots:
            for adapter in adapters:
                self.pin(adapter)
                self.unpin(adapter)

    def pin(self, adapter: int) -> int:
        """Pin once more, bringing the adapter into a slot; says from where: IN_SLOT, FROM_CPU, FROM_DISK."""
        pins = self.pins
        if adapter in pins:
            pins[adapter] += 1
            return IN_SLOT
        assert len(pins) < self.slots
        pins[adapter] = 1
        if adapter in self.in_slots:
            del self._idle_slots[adapter]
            del self._idle_cpu[adapter]
            return IN_SLOT
        origin = FROM_CPU
        if adapter in self.in_cpu:
            del self._idle_cpu[adapter]
        else:
            origin = FROM_DISK
            if len(self.in_cpu) == self.cpu_capacity:
                self._drop_from_cpu()
            self.in_cpu.add(adapter)
        if len(self.in_slots) == self.slots:
            victim, _ = self._idle_slots.popitem(last=False)
            self.in_slots.remove(victim)
        self.in_slots.add(adapter)
        return origin

    def unpin(self, adapter: int) -> bool:
        """Take one pin away; True if the adapter is idle now."""
        left = self.pins[adapter] - 1
        if left:
            self.pins[adapter] = left
            return False
        del self.pins[adapter]
        self._idle_slots[adapter] = None
        self._idle_cpu[adapter] = None
        return True

    def discard(self, adapter: int) -> None:
        """Forget an idle adapter that nobody can ask for any more; its places are free."""
        assert adapter not in self.pins
        if adapter in self.in_cpu:
            self.in_cpu.remove(adapter)
            del self._idle_cpu[adapter]
        if adapter in self.in_slots:
            self.in_slots.remove(adapter)
            del self._idle_slots[adapter]

    def _drop_from_cpu(self) -> None:
        victim, _ = self._idle_cpu.popitem(last=False)
        self.in_cpu.remove(victim)
        if victim in self.in_slots:
            self.in_slots.remove(victim)
            del self._idle_slots[victim]

    def check_invariants(self) -> None:
        """What must always hold."""
        assert len(self.pins) <= len(self.in_slots) <= self.slots
        assert self.in_slots <= self.in_cpu
        assert len(self.in_cpu) <= self.cpu_capacity
        assert set(self.pins) <= self.in_slots
        assert set(self._idle_slots) == self.in_slots - set(self.pins)
        assert set(self._idle_cpu) == self.in_cpu - set(self.pins)
        assert all(count > 0 for count in self.pins.values())
