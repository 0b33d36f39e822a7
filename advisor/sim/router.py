"""Which replica a request goes to, when it arrives or when its replica died."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.sim.setup import Router
from advisor.trace.trace import BASE

SPILL_FACTOR = 1.5
SPILL_REQUESTS = 8


class Routing:
    """One of three rules over the live replicas.

    round-robin        the next live replica after the last one used
    least-outstanding  the live replica with the fewest unfinished requests; of equals the first
    adapter-affinity   adapter a belongs to replica a mod replicas. Its requests go there, unless that one is
                       dead or has more than 1.5 x the mean of unfinished requests + 8: then, as requests to
                       the base do, to the least outstanding. (The constants are ours: enough slack to keep
                       adapters at home under Poisson noise, little enough that a hot adapter spreads.)
    """

    def __init__(self, rule: Router, replicas: int) -> None:
        self._rule = rule
        self._replicas = replicas
        self._last = -1

    def pick(self, adapter: int, live: Sequence[bool], outstanding: Sequence[int]) -> int:
        """Replica for a request; -1 if none is live."""
        if not any(live):
            return -1
        if self._rule == "round-robin":
            self._last = next(
                i % self._replicas
                for i in range(self._last + 1, self._last + 1 + self._replicas)
                if live[i % self._replicas]
            )
            return self._last
        if self._rule == "adapter-affinity" and adapter != BASE:
            home = adapter % self._replicas
            if live[home] and outstanding[home] <= self._most(live, outstanding):
                return home
        return min((i for i in range(self._replicas) if live[i]), key=outstanding.__getitem__)

    @staticmethod
    def _most(live: Sequence[bool], outstanding: Sequence[int]) -> float:
        """Unfinished requests above which a home replica is passed by."""
        total = sum(count for count, alive in zip(outstanding, live, strict=True) if alive)
        return SPILL_FACTOR * total / sum(live) + SPILL_REQUESTS
