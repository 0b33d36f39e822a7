"""Waiting requests of the skipping engine: by adapter, in the order of service.

An entry is one integer, place * 2^32 + request, so that the order of service is the order of numbers:
fcfs: places count up as requests arrive, and down for preempted ones, which go to the front;
priority: the place is the rank of (priority, arrival) in the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace

from advisor.trace.trace import BASE

SHIFT = 32
REQUEST = (1 << SHIFT) - 1
"""entry & REQUEST is the request."""


class Line:
    """One queue, where no adapters are served."""

    __slots__ = ("_heap", "size")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self.size = 0  # how many wait

    def push(self, entry: int) -> None:
        """A request begins to wait."""
        heappush(self._heap, entry)
        self.size += 1

    def first(self, full: bool) -> int | None:
        """Who is next, or None."""
        return self._heap[0] if self._heap else None

    def pop(self, entry: int) -> None:
        """The first one is admitted."""
        heappop(self._heap)
        self.size -= 1

    def activate(self, adapter: int) -> None:
        """An adapter may run: there is none."""

    def entries(self) -> list[int]:
        """All, in the order of service."""
        return sorted(self._heap)


class _Heads:
    """A heap with one entry for each adapter, at or before the head of the adapter's queue."""

    __slots__ = ("heap", "mark")

    def __init__(self) -> None:
        self.heap: list[int] = []
        self.mark: dict[int, int] = {}  # adapter -> its entry in the heap; others of it are dead

    def offer(self, adapter: int, entry: int) -> None:
        """This entry is in the adapter's queue."""
        known = self.mark.get(adapter)
        if known is None or entry < known:
            self.mark[adapter] = entry
            heappush(self.heap, entry)

    def drop(self, adapter: int) -> None:
        """The top, which belongs to this adapter, may not run, or its queue is empty."""
        heappop(self.heap)
        del self.mark[adapter]


class WaitingByAdapter:
    """A queue for each adapter. Finding who is next costs O(log adapters) however many requests wait.

    While slots are left, the earliest request of all that do not wait for their adapter's load is next;
    once `max_loras` adapters are pinned, the earliest of the pinned ones and the base.
    """

    __slots__ = ("_active", "_adapter_of", "_all", "_loading", "_pins", "_queues", "size")

    def __init__(self, adapter_of: Sequence[int], pins: dict[int, int], loading: set[int]) -> None:
        """`pins` and `loading` are read, and belong to others."""
        self._adapter_of = adapter_of
        self._pins = pins
        self._loading = loading
        self._queues: dict[int, list[int]] = {}
        self._all = _Heads()
        self._active = _Heads()  # of the base and pinned adapters
        self.size = 0  # how many wait

    def push(self, entry: int) -> None:
        """A request begins to wait."""
        adapter = self._adapter_of[entry & REQUEST]
        queue = self._queues.get(adapter)
        if queue is None:
            queue = self._queues[adapter] = []
        heappush(queue, entry)
        self.size += 1
        if queue[0] == entry:
            self._offer(adapter, entry)

    def first(self, full: bool) -> int | None:
        """Who is next, or None; `full`: all slots are pinned."""
        heads = self._active if full else self._all
        heap, mark = heads.heap, heads.mark
        while heap:
            entry = heap[0]
            adapter = self._adapter_of[entry & REQUEST]
            if mark.get(adapter) != entry:
                heappop(heap)
                continue
            queue = self._queues[adapter]
            kept_out = full and adapter != BASE and adapter not in self._pins
            if not queue or kept_out or adapter in self._loading:
                heads.drop(adapter)
            elif queue[0] != entry:
                mark[adapter] = queue[0]
                heapreplace(heap, queue[0])
            else:
                return entry
        return None

    def pop(self, entry: int) -> None:
        """The one that `first` named is admitted."""
        heappop(self._queues[self._adapter_of[entry & REQUEST]])
        self.size -= 1

    def activate(self, adapter: int) -> None:
        """An adapter was pinned, or its load has ended."""
        queue = self._queues.get(adapter)
        if queue:
            self._offer(adapter, queue[0])

    def entries(self) -> list[int]:
        """All, in the order of service."""
        entries = [entry for queue in self._queues.values() for entry in queue]
        entries.sort()
        return entries

    def _offer(self, adapter: int, entry: int) -> None:
        if adapter in self._loading:
            return
        self._all.offer(adapter, entry)
        if adapter == BASE or adapter in self._pins:
            self._active.offer(adapter, entry)
