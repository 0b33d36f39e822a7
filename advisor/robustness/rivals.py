"""The few options between which the choice is made when something turns out otherwise than estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.recommendation import Outcome
from advisor.robustness.inputs import SIGMAS, doubts_of, factor
from advisor.robustness.scaled import scaled
from advisor.search.floor import floor_reason
from advisor.search.found import Entry, Found
from advisor.search.question import Question
from advisor.search.trial import Plan, traffic_for
from advisor.search.work import sizer_of

_NEAR = 1.5
"""An option that costs more than this many times the best is left out."""
_FEASIBLE = 3
_MISSES = 2


@dataclass(frozen=True, slots=True)
class Rival:
    """An option with its plan. `extra` replicas were asked for by a longer stretch than the trial's alone."""

    key: str
    plan: Plan
    usd_per_device_hour: float
    outcome: Outcome
    extra: int = 0

    @property
    def usd_per_replica_hour(self) -> float:
        """Of one replica."""
        return self.usd_per_device_hour * self.plan.variant.terms.tensor_parallel


def rivals_of(question: Question, found: Found) -> tuple[Rival, ...]:
    """The recommended option, the next feasible ones, and cheaper ones that narrowly miss a limit.

    A miss is near if one request alone would meet the limits with every term at the favourable end of its
    interval. One of each (way, device, degree) comes first, so that different things are compared.
    """
    best = found.best
    if best is None or best.option.usd_per_hour is None:
        return ()
    limit = _NEAR * best.option.usd_per_hour
    others = [e for e in found.entries if e is not best and _priced(e, limit)]
    able = _varied([e for e in others if e.option.feasible])[:_FEASIBLE]
    misses = [e for e in others if e.option.bound in ("slo", "replicas") and _near(question, e)]
    chosen = (best, *able, *_varied(misses)[:_MISSES])
    return tuple(rival for rival in map(_rival, chosen) if rival is not None)


def _priced(entry: Entry, limit_usd_per_hour: float) -> bool:
    option = entry.option
    return (
        entry.sized is not None
        and not option.is_reference
        and option.usd_per_hour is not None
        and option.usd_per_hour <= limit_usd_per_hour
    )


def _rival(entry: Entry) -> Rival | None:
    option = entry.option
    if entry.sized is None or option.usd_per_device_hour is None or option.outcome is None:
        return None
    return Rival(option.key, entry.sized.plan, option.usd_per_device_hour, option.outcome)


def _varied(entries: Sequence[Entry]) -> list[Entry]:
    """The first of each kind, then the others, each in order."""
    first: list[Entry] = []
    rest: list[Entry] = []
    seen = set()
    for entry in entries:
        option = entry.option
        kind = (option.way, option.device, option.tensor_parallel)
        (rest if kind in seen else first).append(entry)
        seen.add(kind)
    return [*first, *rest]


def _near(question: Question, entry: Entry) -> bool:
    """Whether a request alone could meet the limits, all terms at their favourable ends."""
    assert entry.sized is not None  # _priced saw to it
    plan = entry.sized.plan
    low = {
        term: factor(SIGMAS if term.startswith("acceptance") else -SIGMAS, doubt.interval)
        for term, doubt in doubts_of(plan.variant).items()
    }
    plan = replace(plan, variant=scaled(plan.variant, low))
    sizer = sizer_of(question)
    pool = max(traffic_for(plan.variant, question.trial, question.adapters.names), key=lambda p: len(p.trace))
    limits = plan.limits_of(pool)
    clock = sizer.runner.replica(plan.variant, limits, merged=pool.merged).clock
    return floor_reason(plan.variant, limits, clock, pool, question.scenario.objective) is None
