"""The choice in one world: which rival is the best that holds.

The choice stands as long as no rival is better: one of the same price does not turn it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from advisor.deployment import Variant
from advisor.robustness.inputs import TRAFFIC, Bounds, Input, factor, factors_of
from advisor.robustness.rivals import Rival
from advisor.robustness.scaled import scaled
from advisor.search.floor import floor_reason
from advisor.search.pools import Sizer, longest_request
from advisor.search.question import Question
from advisor.search.sizing import fewest_replicas
from advisor.search.trial import Plan, PoolTraffic, Trial, traffic_for
from advisor.search.work import sizer_of
from advisor.trace.scale import faster
from advisor.trace.trace import Trace

_GROWTH = 2
"""The recommended option is not sized beyond this many times its replicas."""
_CENT = 1e-6
_SAME_SPEED = 1.01


@dataclass(frozen=True, slots=True)
class World:
    """Requests, and how far every input is off, in standard deviations; inputs left out are as estimated."""

    trace: Trace
    z: Mapping[Input, float]


@dataclass(frozen=True, slots=True)
class Sized:
    """A rival in a world: its replicas, its price, and what it did."""

    replicas: int
    usd_per_hour: float
    trial: Trial


@dataclass(frozen=True)
class Stand:
    """A rival on the requests of a world, with its terms as they are there."""

    question: Question  # its trial is the world's trace
    rival: Rival
    variant: Variant

    @cached_property
    def sizer(self) -> Sizer:
        """With a runner of its own: results of other worlds must not be found again."""
        return sizer_of(self.question)

    @cached_property
    def traffic(self) -> tuple[PoolTraffic, ...]:
        """The pools' requests."""
        return traffic_for(self.variant, self.question.trial, self.question.adapters.names)

    @cached_property
    def possible(self) -> bool:
        """Whether any number of replicas could hold: the longest request fits, and one alone is in time."""
        pool = max(self.traffic, key=lambda one: len(one.trace))
        limits = self.rival.plan.limits_of(pool)
        if self.variant.memory(limits).kv_tokens < longest_request(pool, self.variant):
            return False
        clock = self.sizer.runner.replica(self.variant, limits, merged=pool.merged).clock
        objective = self.question.scenario.objective
        return floor_reason(self.variant, limits, clock, pool, objective) is None

    def as_it_is(self) -> Trial:
        """The plan with the replicas that it has."""
        plan = replace(self.rival.plan, variant=self.variant)
        return self.sizer.runner.run(plan, self.traffic, self.sizer.duration_s)

    def sized(self, most: int) -> Sized | None:
        """The fewest replicas that hold, up to `most`; None: none of them does."""
        most -= self.rival.extra
        if most < 1 or not self.possible:
            return None
        plan = self.rival.plan
        if self.variant.has_pools:
            sizer = replace(self.sizer, affordable=most)
            done = sizer.several(self.variant, plan.limits, self.traffic)
            replicas, trial = sum(done.plan.replicas), done.trial
        else:
            found = fewest_replicas(self._run, plan.replicas[0] - self.rival.extra, most)
            replicas, trial = found.replicas, found.trial
        return self._priced(replicas, trial) if trial.holds and replicas <= most else None

    def as_many(self, most: int) -> Sized | None:
        """The plan with the replicas that it has, which may be more than it takes; None: it does not hold."""
        now = sum(self.rival.plan.replicas)
        if now > most or not self.possible:
            return None
        trial = self.as_it_is() if self.variant.has_pools else self._run(now - self.rival.extra)
        return self._priced(now - self.rival.extra, trial) if trial.holds else None

    def _priced(self, replicas: int, trial: Trial) -> Sized:
        replicas += self.rival.extra
        usd_per_hour = replicas * self.rival.usd_per_replica_hour + self.variant.training_usd_per_hour
        return Sized(replicas, usd_per_hour, trial)

    def _run(self, replicas: int) -> Trial:
        plan = Plan(self.variant, self.rival.plan.limits, (replicas,))
        return self.sizer.runner.run(plan, self.traffic, self.sizer.duration_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best rival of a world (None: none holds), and the first rival there."""

    best: str | None
    best_usd_per_hour: float | None
    own: Sized | None


_Best = tuple[Rival, Sized]


def _verdict(best: _Best | None, own: Sized | None) -> Verdict:
    if best is None:
        return Verdict(None, None, own)
    return Verdict(best[0].key, best[1].usd_per_hour, own)


@dataclass
class Judge:
    """Decides in any world, and remembers what worlds have in common."""

    question: Question
    rivals: Sequence[Rival]
    load_interval: Bounds
    simulations: int = 0
    _stands: dict[tuple[object, ...], Stand] = field(default_factory=dict)
    _traces: dict[tuple[int, float], tuple[Trace, Trace]] = field(default_factory=dict)  # as it is, faster

    def decide(self, world: World) -> Verdict:
        """Size the first rival, and every other one that could still win."""
        stand = self.stand(self.rivals[0], world)
        own = stand.sized(self._most_own(_GROWTH))
        best = self._best_of(world, self.rivals[1:], None if own is None else (self.rivals[0], own))
        return _verdict(best, own)

    def stands(self, world: World) -> Verdict:
        """The same, but the first rival is sized only where it could win: half the work, the same best."""
        if self._fastest:
            return self.decide(world)
        stand, first = self.stand(self.rivals[0], world), self.rivals[0]
        own = stand.as_many(self._most_own(1))
        best = self._best_of(world, self.rivals[1:], None if own is None else (first, own))
        if best is not None and best[0] is first:
            return _verdict(best, own)
        return _verdict(self._best_of(world, self.rivals[:1], best), own)

    def _best_of(self, world: World, rivals: Sequence[Rival], best: _Best | None) -> _Best | None:
        """The best of some rivals and the best so far."""
        for rival in rivals:
            sized = self.stand(rival, world).sized(self._most(rival, best))
            if sized is not None and (best is None or self._beats((rival, sized), best)):
                best = (rival, sized)
        return best

    def _beats(self, one: _Best, best: _Best) -> bool:
        """Whether one is better: the first rival also if it is as good, the others not then against it."""
        for first, other, wins in ((one, best, True), (best, one, False)):
            if first[0] is self.rivals[0]:
                return self._as_good(first[1], other[1]) is wins
        return self._rank(one[1]) < self._rank(best[1])

    def _as_good(self, one: Sized, other: Sized) -> bool:
        """No dearer; or, where the fastest is sought, no slower by 1 %."""
        if self._fastest:
            return one.trial.outcome.e2e.mean_s <= _SAME_SPEED * other.trial.outcome.e2e.mean_s
        return one.usd_per_hour <= other.usd_per_hour + _CENT

    @property
    def _fastest(self) -> bool:
        return self.question.scenario.objective.goal == "fastest"

    def _rank(self, sized: Sized) -> tuple[float, float]:
        """As the search ranks: by price, then strain; or by speed, then price."""
        if self._fastest:
            return sized.trial.outcome.e2e.mean_s, sized.usd_per_hour
        return sized.usd_per_hour, sized.trial.strain

    def stand(self, rival: Rival, world: World) -> Stand:
        """A rival in a world; the same one again where nothing that it rests on is different."""
        load = factor(world.z.get(Input(TRAFFIC), 0.0), self.load_interval)
        factors = factors_of(rival.plan.variant, world.z)
        key = (rival.key, id(world.trace), load, tuple(sorted(factors.items())))
        stand = self._stands.get(key)
        if stand is None:
            asked = replace(self.question, trial=self._faster(world.trace, load))
            stand = self._stands[key] = Stand(asked, rival, scaled(rival.plan.variant, factors))
        return stand

    def forget(self) -> None:
        """Drop what was remembered, and count the simulations that it took."""
        self.simulations += sum(stand.sizer.runner.simulations for stand in self._stands.values())
        self._stands.clear()
        self._traces.clear()

    def _faster(self, trace: Trace, by: float) -> Trace:
        key = (id(trace), by)
        if key not in self._traces:
            self._traces[key] = trace, trace if by == 1.0 else faster(trace, by)
        return self._traces[key][1]

    def _most_own(self, growth: int) -> int:
        """Replicas up to which the first rival is sized."""
        return min(growth * sum(self.rivals[0].plan.replicas), self._most(self.rivals[0], None))

    def _most(self, rival: Rival, best: _Best | None) -> int:
        """Replicas beyond which a rival cannot win."""
        scenario = self.question.scenario
        most = scenario.search.max_replicas * len(rival.plan.replicas)
        unit, beside = rival.usd_per_replica_hour, rival.plan.variant.training_usd_per_hour
        if scenario.objective.budget is not None:
            most = min(most, math.floor((scenario.objective.budget - beside) / unit + _CENT))
        if best is not None and not self._fastest:
            cheaper = -_CENT if best[0] is self.rivals[0] else _CENT
            most = min(most, math.floor((best[1].usd_per_hour - beside) / unit + cheaper))
        return most


def with_extra(judge: Judge, world: World) -> tuple[Rival, ...]:
    """The rivals with the replicas that a longer stretch asked for beside what this world does."""
    found = []
    for rival in judge.rivals:
        asked = sum(rival.plan.replicas)
        sized = judge.stand(rival, world).sized(asked)
        found.append(rival if sized is None else replace(rival, extra=max(0, asked - sized.replicas)))
    return tuple(found)
