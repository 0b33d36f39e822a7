"""Waiting requests of an engine that never computes two adapters in one step (llama.cpp's server)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from advisor.sim.waiting import REQUEST, Line


class WaitingForOne(Line):
    """One queue whose first ones hold seats: among those, whoever has the running ones' adapter is next.

    The base counts as an adapter; where nobody runs, the first of all is next. Entries are those of
    `waiting.py`. Finding who is next costs O(seats).
    """

    __slots__ = ("_adapter_of", "_running", "_seats")

    def __init__(self, adapter_of: Sequence[int], running: dict[int, int], seats: int) -> None:
        """`running` (admission number -> request) is read, and belongs to the replica."""
        super().__init__()
        self._adapter_of = adapter_of
        self._running = running
        self._seats = seats

    def first(self, full: bool) -> int | None:
        """Who is next, or None."""
        heap, adapter_of = self._heap, self._adapter_of
        if not heap or not self._running:
            return heap[0] if heap else None
        group = adapter_of[next(iter(self._running.values()))]
        looked: list[int] = []
        found = None
        for _ in range(min(self._seats - len(self._running), len(heap))):
            looked.append(heappop(heap))
            if adapter_of[looked[-1] & REQUEST] == group:
                found = looked[-1]
                break
        for entry in looked:
            heappush(heap, entry)
        return found

    def pop(self, entry: int) -> None:
        """The one that `first` named is admitted."""
        kept = []
        while (least := heappop(self._heap)) != entry:
            kept.append(least)
        for other in kept:
            heappush(self._heap, other)
        self.size -= 1
