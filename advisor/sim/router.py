"""Which replica a request goes to, when it arrives or when its replica died."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.sim.ranks import Ranks
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
        if self._rule == "round-robin":
            return self._next_turn(live)
        best, total, alive = -1, 0, 0
        for index, count in enumerate(outstanding):
            if live[index]:
                alive += 1
                total += count
                if best < 0 or count < outstanding[best]:
                    best = index
        home = self._home(adapter, live, outstanding, total, alive)
        return best if home < 0 else home

    def pick_ranked(self, adapter: int, live: Sequence[bool], ranks: Ranks) -> int:
        """The same without looking at every replica."""
        if self._rule == "round-robin":
            return self._next_turn(live)
        home = self._home(adapter, live, ranks.unfinished, ranks.live_total, ranks.live)
        return ranks.first() if home < 0 else home

    def _home(
        self, adapter: int, live: Sequence[bool], outstanding: Sequence[int], total: int, alive: int
    ) -> int:
        """The replica that an adapter belongs to, or -1 where its request has to go elsewhere."""
        if self._rule != "adapter-affinity" or adapter == BASE:
            return -1
        home = adapter % self._replicas
        kept = live[home] and outstanding[home] <= SPILL_FACTOR * total / alive + SPILL_REQUESTS
        return home if kept else -1

    def _next_turn(self, live: Sequence[bool]) -> int:
        """The next live replica after the last one used."""
        for step in range(1, self._replicas + 1):
            index = (self._last + step) % self._replicas
            if live[index]:
                self._last = index
                return index
        return -1
