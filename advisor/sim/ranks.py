"""Live replicas ranked by their unfinished requests: who has the fewest, without looking at every replica."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace


class Ranks:
    """A heap of (unfinished requests, replica), one integer an entry, mended when its top is looked at.

    Every live replica has an entry at or below its count: one that grew is found out of date at the top, one
    that shrank is pushed anew. `first` costs O(log replicas) in the mean.
    """

    __slots__ = ("_heap", "_is_live", "live", "live_total", "total", "unfinished")

    def __init__(self, replicas: int) -> None:
        self.unfinished = [0] * replicas
        self.total = 0  # unfinished requests of all replicas
        self.live = 0  # replicas that requests may go to
        self.live_total = 0  # unfinished requests of those
        self._is_live = [False] * replicas
        self._heap: list[int] = []

    def join(self, replica: int) -> None:
        """It is live from now on."""
        self._is_live[replica] = True
        self.live += 1
        self.live_total += self.unfinished[replica]
        heappush(self._heap, self.unfinished[replica] * len(self.unfinished) + replica)

    def leave(self, replica: int) -> None:
        """It gets no further requests; those that it has still count in `total`."""
        self._is_live[replica] = False
        self.live -= 1
        self.live_total -= self.unfinished[replica]

    def set(self, replica: int, unfinished: int) -> None:
        """A replica has so many unfinished requests now."""
        before = self.unfinished[replica]
        if unfinished == before:
            return
        self.unfinished[replica] = unfinished
        self.total += unfinished - before
        if self._is_live[replica]:
            self.live_total += unfinished - before
            if unfinished < before:
                self._push(unfinished, replica)

    def _push(self, unfinished: int, replica: int) -> None:
        """A count has fallen; the heap begins anew where most of it is out of date."""
        count = len(self.unfinished)
        heappush(self._heap, unfinished * count + replica)
        if len(self._heap) > 8 * count + 64:
            self._heap = [self.unfinished[i] * count + i for i in range(count) if self._is_live[i]]
            heapify(self._heap)

    def first(self) -> int:
        """The live replica with the fewest unfinished requests, of equals the first; -1 if none is live."""
        heap, unfinished, is_live = self._heap, self.unfinished, self._is_live
        count = len(unfinished)
        while heap:
            noted, replica = divmod(heap[0], count)
            true = unfinished[replica]
            if noted == true and is_live[replica]:
                return replica
            if noted < true and is_live[replica]:
                heapreplace(heap, true * count + replica)
            else:
                heappop(heap)
        return -1
