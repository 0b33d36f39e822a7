"""What a search found: entries, ranked, and which of them is advised."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.recommendation import Option
from advisor.search.pools import SizedPlan
from advisor.search.question import Offer, Question


@dataclass(frozen=True, slots=True)
class Entry:
    """A sized candidate: what the option says and what later studies need."""

    option: Option
    offer: Offer
    sized: SizedPlan | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All entries, ranked."""

    entries: tuple[Entry, ...]
    candidates: int
    simulations: int
    confirmed: bool = True  # the best were run on longer traffic and other draws, as far as there is more
    final: Question | None = None  # the long stretch on which the best few were confirmed; None: the trial

    @property
    def best(self) -> Entry | None:
        """The recommended one: the first feasible that can serve the adapters and is not bought."""
        options = (e for e in self.entries if e.option.feasible and e.option.bought is None)
        return next((e for e in options if not e.option.is_reference), None)

    @property
    def nearest(self) -> Entry | None:
        """Where nothing is feasible: the cheapest that only the budget forbids, else what misses by least."""
        tried = [e for e in self.entries if e.sized is not None and not e.option.is_reference]
        dear = [e for e in tried if e.option.bound == "budget"]
        if dear:
            return min(dear, key=lambda e: e.option.usd_per_hour or float("inf"))
        return min(tried, key=lambda e: e.sized.trial.excess if e.sized else float("inf"), default=None)
