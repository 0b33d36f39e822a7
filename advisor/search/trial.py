"""Trials: a deployment simulated on a trace, its pools joined, held against the objective, and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from advisor.deployment import Variant, Way, fleet, without_adapters
from advisor.outcome import checks_of, outcome_of
from advisor.recommendation import Outcome, SloCheck
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import ReplicaSetup, Router
from advisor.spec.engine import EngineLimits
from advisor.spec.objective import Objective
from advisor.trace.scale import take
from advisor.trace.trace import BASE, Ints, Trace

_WAITS = [CAUSES.index("queue"), CAUSES.index("adapter_wait")]
_GROWTH_S = 1.0
_DRAIN_SHARE = 0.5
"""Of the trace's length: what takes longer than this after the last arrival was more than replicas carry."""
_GROWTH_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class PoolTraffic:
    """The requests that one pool serves, as its engine sees them."""

    name: str
    adapters: tuple[str, ...]
    trace: Trace
    fine_tuned: bool  # merged weights
    share: float

    @property
    def merged(self) -> str | None:
        """The adapter whose weights are merged; None: none is."""
        return self.adapters[0] if self.fine_tuned else None


@dataclass(frozen=True, slots=True)
class Trial:
    """What one pool, or several joined, did."""

    results: tuple[SimResult, ...]
    outcome: Outcome
    checks: tuple[SloCheck, ...]
    steady: bool

    @property
    def holds(self) -> bool:
        """Every limit holds and no queue grows."""
        return self.steady and all(check.holds for check in self.checks)

    @property
    def strain(self) -> float:
        """Largest value over its limit; below 1 all limits hold. Infinite where a queue grows."""
        return self.excess if self.steady else float("inf")

    @property
    def excess(self) -> float:
        """Largest value over its limit, also where a queue grows."""
        return max((_ratio(check) for check in self.checks), default=0.0)


def _ratio(check: SloCheck) -> float:
    if check.metric == "goodput":
        return (1.0 - check.value) / max(1.0 - check.limit, 1e-3)
    return check.value / check.limit


def as_base(trace: Trace) -> Trace:
    """The same requests, all to the plain base model."""
    return replace(trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=())


def traffic_of(
    way: Way, trace: Trace, deployed: Sequence[str], hottest: Sequence[int] = ()
) -> tuple[PoolTraffic, ...]:
    """Split a trace into the pools of a way to serve.

    Base and multi-LoRA have one pool. Merged has one for each deployed adapter, also for those that
    nobody asks for in this trace (a deployment must be up to be asked), and one for base requests.
    Hybrid has one for each of the `hottest` adapters (indices in the trace), then one for all the rest.
    """
    names = tuple(trace.adapters)
    if way == "hybrid":
        return _hybrid(trace, names, hottest)
    if way == "base":
        return (PoolTraffic("base", ("base",), as_base(trace), False, 1.0),)
    if way == "multi-lora":
        return (PoolTraffic("multi-lora", names, trace, False, 1.0),)
    total = max(len(trace), 1)
    pools = []
    for index, name in ((BASE, "base"), *enumerate(names)):
        mine = np.flatnonzero(trace.adapter == index)
        if index != BASE or len(mine):
            part = as_base(_subset(trace, mine))
            pools.append(PoolTraffic(name, (name,), part, index != BASE, len(mine) / total))
    idle = [name for name in deployed if name not in set(names)]
    empty = as_base(_subset(trace, np.zeros(0, dtype=np.int64)))
    return (*pools, *(PoolTraffic(name, (name,), empty, True, 0.0) for name in idle))


def traffic_for(variant: Variant, trace: Trace, deployed: Sequence[str]) -> tuple[PoolTraffic, ...]:
    """The pools of a variant."""
    return traffic_of(variant.way, trace, deployed, variant.hottest)


def _hybrid(trace: Trace, names: tuple[str, ...], hottest: Sequence[int]) -> tuple[PoolTraffic, ...]:
    total = max(len(trace), 1)
    pools = []
    for index in hottest:
        mine = np.flatnonzero(trace.adapter == index)
        part = as_base(_subset(trace, mine))
        pools.append(PoolTraffic(names[index], (names[index],), part, True, len(mine) / total))
    rest = np.flatnonzero(~np.isin(trace.adapter, np.asarray(hottest, dtype=np.int64)))
    others = tuple(name for index, name in enumerate(names) if index not in hottest)
    return (*pools, PoolTraffic("multi-lora", others, _subset(trace, rest), False, len(rest) / total))


def by_popularity(trace: Trace) -> tuple[int, ...]:
    """Adapters of a trace that anybody asks for, most asked for first; of equals the first."""
    counts = np.bincount(trace.adapter[trace.adapter >= 0], minlength=len(trace.adapters))
    order = np.argsort(-counts, kind="stable")
    return tuple(int(index) for index in order if counts[index])


def _subset(trace: Trace, index: Ints) -> Trace:
    """Some requests at their own times."""
    return replace(take(trace, index), arrival_s=trace.arrival_s[index])


def is_steady(result: SimResult) -> bool:
    """Whether all finished, waiting did not grow, and the rest was done soon after the last arrival.

    Growth is from the second to the last quarter of arrivals. Where adapters starve, early requests wait
    longest: there the long rest tells.
    """
    count = len(result.arrival_s)
    if count < 40:
        return bool(result.done.all())
    if not result.done.all():
        return False
    waits = result.ttft_causes_s[:, _WAITS].sum(axis=1)
    early, late = float(waits[count // 4 : count // 2].mean()), float(waits[-count // 4 :].mean())
    if late > _GROWTH_RATIO * early and late - early > _GROWTH_S:
        return False
    span_s = float(result.arrival_s[-1] - result.arrival_s[0])
    left_s = float(result.end_s - result.arrival_s[-1])
    return left_s <= _DRAIN_SHARE * span_s + float((result.e2e_s - waits).max()) + _GROWTH_S


@dataclass(frozen=True, slots=True)
class Plan:
    """A variant with its knobs set and its replicas counted, pool by pool."""

    variant: Variant
    limits: EngineLimits
    replicas: tuple[int, ...]

    @property
    def devices(self) -> int:
        """Devices of all pools."""
        return sum(self.replicas) * self.variant.terms.tensor_parallel

    def limits_of(self, pool: PoolTraffic) -> EngineLimits:
        """Limits of one pool's engines: a merged one has LoRA off."""
        return without_adapters(self.limits) if pool.fine_tuned else self.limits

    def with_replicas(self, *replicas: int) -> Plan:
        """The same plan with other replica counts."""
        return replace(self, replicas=replicas)


@dataclass(slots=True)
class Runner:
    """Runs trials with one seed, the same for all candidates (common random numbers), and counts them."""

    objective: Objective
    ranks: tuple[int, ...]
    seed: int
    simulations: int = 0
    _replicas: dict[tuple[str, EngineLimits, str | None], ReplicaSetup] = field(default_factory=dict)
    _results: dict[tuple[str, Router, EngineLimits, int, int], tuple[PoolTraffic, SimResult]] = field(
        default_factory=dict
    )  # by the identity of the traffic, which is kept with it: that of what is gone is given to another

    def run(self, plan: Plan, traffic: Sequence[PoolTraffic], duration_s: float) -> Trial:
        """Simulate every pool that has requests, and hold the whole against the objective."""
        results = [
            self._pool(plan.variant, plan.limits_of(pool), pool, count)
            for pool, count in zip(traffic, plan.replicas, strict=True)
            if len(pool.trace)
        ]
        return self.judge(results, duration_s, sum(plan.replicas))

    def replica(self, variant: Variant, limits: EngineLimits, *, merged: str | None) -> ReplicaSetup:
        """The replica of a variant with these limits, built once."""
        key = (variant.key, limits, variant.acceptance_key(merged))
        setup = self._replicas.get(key)
        if setup is None:
            if len(self._replicas) > 64:
                self._replicas.clear()
            setup = self._replicas[key] = variant.replica(limits, self.ranks, merged=merged)
        return setup

    def fleet(self, setup: ReplicaSetup, trace: Trace, replicas: int, router: Router) -> SimResult:
        """Simulate any replica setup on a trace, without remembering it."""
        self.simulations += 1
        return simulate_fleet(fleet(setup, replicas, router), trace, seed=self.seed)

    def judge(self, results: Sequence[SimResult], duration_s: float, replicas: int) -> Trial:
        """Join results and hold them against the objective."""
        outcome = outcome_of(results, self.objective, duration_s, replicas)
        checks = checks_of(outcome, results, self.objective, duration_s)
        return Trial(tuple(results), outcome, checks, all(is_steady(result) for result in results))

    def _pool(self, variant: Variant, limits: EngineLimits, traffic: PoolTraffic, replicas: int) -> SimResult:
        key = (variant.key, variant.router, limits, id(traffic), replicas)
        known = self._results.get(key)
        if known is None:
            if len(self._results) > 256:
                self._results.clear()
            setup = self.replica(variant, limits, merged=traffic.merged)
            result = self.fleet(setup, traffic.trace, replicas, variant.router)
            known = self._results[key] = traffic, result
        return known[1]
