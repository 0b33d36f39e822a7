"""Where adapters are: on disk, in host memory, in a slot. The scheduler decides, this file really loads.

disk -> host: read the safetensors file, pad, scale, cast (peft.py, lora.py). host -> slot: copy.
blocking: both before the step, everyone waits. overlapped: one thread a hop, beside the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple

from advisor.errors import InputError
from advisor.sim.adapters import FROM_DISK, AdapterCache
from calibration.engine.lora import LoraSlots, PackedAdapter, pack
from calibration.engine.model import Model
from calibration.engine.peft import Described, describe_adapter, read_adapter
from calibration.engine.runner import Runner


class LoadRecord(NamedTuple):
    """One adapter brought into a slot."""

    adapter: int
    name: str
    from_disk: bool
    disk_s: float  # disk to host memory, with parsing and padding; 0 if it was there
    slot_s: float  # host memory to slot
    slot_bytes: int
    error: str = ""  # why it could not be loaded


class _Copied(NamedTuple):
    packed: PackedAdapter
    record: LoadRecord


class AdapterStore:
    """Registered adapters of one engine, by number; a name that is registered again gets a new number.

    A number that no name leads to any more is kept until its last request has ended (`retire`).
    """

    def __init__(self, runner: Runner, model: Model, slots: LoraSlots | None) -> None:
        self._runner = runner
        self._architecture = model.architecture
        self._slots = slots
        self._dtype = model.weights.embedding.dtype
        self._described: dict[int, Described] = {}
        self._names: dict[int, str] = {}
        self._number_of: dict[str, int] = {}
        self._nameless: set[int] = set()  # described, but no request may ask for it any more
        self._next = 0
        self._in_host: dict[int, PackedAdapter] = {}
        self._slot_of: dict[int, int] = {}
        self._underway: dict[int, Future[_Copied]] = {}
        self._disk: ThreadPoolExecutor | None = None
        self._link: ThreadPoolExecutor | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Adapters that requests may name."""
        return tuple(self._number_of)

    @property
    def nameless(self) -> bool:
        """Whether `retire` may have something to do."""
        return bool(self._nameless)

    @property
    def described(self) -> int:
        """Adapters that it keeps something of, with or without a name."""
        return len(self._described)

    @property
    def in_host(self) -> int:
        """Adapters whose matrices are in host memory."""
        return len(self._in_host)

    @property
    def loading(self) -> bool:
        """Whether an overlapped load is under way."""
        return bool(self._underway)

    def register(self, name: str, path: str | Path) -> int:
        """Check an adapter folder and make it known; its matrices are read at first use (InputError)."""
        if self._slots is None:
            raise InputError(f"adapter {name!r}: max_loras is 0; allowed: at least 1. Set max_loras.")
        if not name:
            raise InputError(f"{path}: the adapter has no name; allowed: text that is not empty.")
        described = describe_adapter(path, self._architecture.shape, self._slots.rank)
        if name in self._number_of:
            self.unregister(name)
        number, self._next = self._next, self._next + 1
        self._described[number], self._names[number] = described, name
        self._number_of[name] = number
        return number

    def unregister(self, name: str) -> None:
        """Forget the name; `retire` frees the rest."""
        number = self.number(name)
        del self._number_of[name]
        self._nameless.add(number)

    def retire(self, cache: AdapterCache, used: Collection[int]) -> None:
        """Free slots and host memory of adapters without a name, but for those `used` by requests.

        vLLM forgets the name alone, and lets a dead adapter push living ones out of its caches.
        """
        for number in [n for n in self._nameless if n not in used and n not in cache.pins]:
            cache.discard(number)
            self._nameless.remove(number)
            del self._described[number], self._names[number]
            self._in_host.pop(number, None)
            self._slot_of.pop(number, None)

    def number(self, name: str) -> int:
        """Number of a registered adapter (InputError if there is none)."""
        if name not in self._number_of:
            known = ", ".join(sorted(self._number_of)) or "none"
            raise InputError(f"adapter is {name!r}; allowed: {known}. Register it first.")
        return self._number_of[name]

    def slot(self, number: int) -> int:
        """The slot that holds it now."""
        return self._slot_of[number]

    def bring(self, loads: Iterable[tuple[int, int]], cache: AdapterCache) -> list[LoadRecord]:
        """Load before the step, one after the other."""
        loads = list(loads)
        self._follow(loads, cache)
        records = []
        for number, origin in loads:
            try:
                copied = self._copy(number, *self._packed(number, origin))
            except InputError as error:
                copied = None
                records.append(self._failed(number, error))
            if copied is not None:
                self._in_host[number] = copied.packed
                records.append(copied.record)
        return records

    def begin(self, loads: Iterable[tuple[int, int]], cache: AdapterCache) -> None:
        """Load beside the batch; `arrived` says when."""
        loads = list(loads)
        self._follow(loads, cache)
        if self._disk is None or self._link is None:
            self._disk, self._link = (ThreadPoolExecutor(1, f"adapter-{hop}") for hop in ("disk", "link"))
        link = self._link
        for number, origin in loads:
            if origin == FROM_DISK:
                read = self._disk.submit(self._packed, number, origin)
                self._underway[number] = link.submit(lambda n, r: self._copy(n, *r.result()), number, read)
            else:
                packed = self._packed(number, origin)
                self._underway[number] = link.submit(self._copy, number, *packed)

    def wait(self, wait_s: float) -> None:
        """Sleep until an overlapped load ends, or so long."""
        if self._underway:
            wait(self._underway.values(), timeout=wait_s, return_when=FIRST_COMPLETED)

    def arrived(self) -> list[LoadRecord]:
        """Overlapped loads that have ended since the last call."""
        records = []
        for number, future in list(self._underway.items()):
            if not future.done():
                continue
            del self._underway[number]
            try:
                copied = future.result()
            except InputError as error:
                records.append(self._failed(number, error))
                continue
            self._in_host[number] = copied.packed
            records.append(copied.record)
        return records

    def check_invariants(self, cache: AdapterCache) -> None:
        """What is here is what the scheduler believes to be here, but for loads under way or failed."""
        assert set(self._slot_of) <= cache.in_slots
        assert set(self._in_host) <= cache.in_cpu <= set(self._described)
        assert set(self._described) == {*self._number_of.values(), *self._nameless}
        assert len(set(self._slot_of.values())) == len(self._slot_of)

    def close(self) -> None:
        """End the threads of overlapped loads."""
        for executor in (self._disk, self._link):
            if executor is not None:
                executor.shutdown()

    def _follow(self, loads: list[tuple[int, int]], cache: AdapterCache) -> None:
        """Drop what the scheduler evicted, and give each load a slot."""
        coming = {number for number, _ in loads}
        for number in [n for n in self._slot_of if n not in cache.in_slots or n in coming]:
            del self._slot_of[number]
        for number in [n for n in self._in_host if n not in cache.in_cpu]:
            del self._in_host[number]
        taken = set(self._slot_of.values())
        free = iter(slot for slot in range(cache.slots) if slot not in taken)
        for number, _ in loads:
            self._slot_of[number] = next(free)

    def _packed(self, number: int, origin: int) -> tuple[PackedAdapter, float]:
        """The adapter in host memory, and the seconds that it took to get there."""
        if origin != FROM_DISK and number in self._in_host:
            return self._in_host[number], 0.0
        assert self._slots is not None
        start = perf_counter_ns()
        deltas = read_adapter(self._described[number], self._architecture.shape)
        packed = pack(deltas, self._architecture, self._slots.rank, self._dtype, pinned=self._runner.pinned)
        return packed, _seconds_since(start)

    def _copy(self, number: int, packed: PackedAdapter, disk_s: float) -> _Copied:
        assert self._slots is not None
        start = perf_counter_ns()
        with self._runner.beside():
            self._slots.write(self._slot_of[number], packed)
        self._runner.fence_beside()
        record = LoadRecord(
            number, self._names[number], disk_s > 0, disk_s, _seconds_since(start), packed.bytes
        )
        return _Copied(packed, record)

    def _failed(self, number: int, error: InputError) -> LoadRecord:
        """An adapter that cannot be read any more is unknown from now on."""
        if self._number_of.get(self._names[number]) == number:
            self.unregister(self._names[number])
        return LoadRecord(number, self._names[number], True, 0.0, 0.0, 0, str(error))


def _seconds_since(start_ns: int) -> float:
    return (perf_counter_ns() - start_ns) * 1e-9
