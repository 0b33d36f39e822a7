"""Sizing of deployments with one pool and with one pool an adapter, their knobs included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.deployment import Variant, without_adapters
from advisor.search.estimate import Demand, SteadyState, steady_state
from advisor.search.floor import floor_reason
from advisor.search.knobs import largest_budget, slot_choices, start_limits, with_slots
from advisor.search.question import Question
from advisor.search.sizing import Sized, fewest_replicas
from advisor.search.trial import Plan, PoolTraffic, Runner, Trial, traffic_of
from advisor.spec.engine import EngineLimits
from advisor.spec.objective import Metric

_TPOT_MARGIN = 0.9
"""A p99 limit leaves the mean this much room in the guess."""
_SCREEN_FACTOR = 2
_HELP = 0.1
"""More replicas help a pool if they make at least this share of its late requests punctual."""


@dataclass(frozen=True, slots=True)
class SizedPlan:
    """A plan that was sized, and what it did; `tried` counts the knob settings looked at."""

    plan: Plan
    trial: Trial
    stagnant: bool
    tried: int
    floor: str = ""  # the limit that one request alone breaks, in words
    on_trial: tuple[int, ...] = ()  # what the trial asked for, where more traffic asked for more replicas

    @property
    def growth(self) -> float:
        """Replicas over those that the trial alone asked for."""
        return sum(self.plan.replicas) / sum(self.on_trial) if self.on_trial else 1.0


@dataclass(frozen=True, slots=True)
class Screened:
    """A first plan, from a short trace."""

    plan: Plan
    holds: bool
    stagnant: bool
    tried: int
    floor: str = ""


@dataclass(frozen=True, slots=True)
class Sizer:
    """Sizes variants on one trace."""

    question: Question
    runner: Runner
    duration_s: float
    affordable: int | None = None  # replicas beyond which nothing is worth knowing; None: max_replicas

    @property
    def most(self) -> int:
        """Most replicas of one pool."""
        allowed = self.question.scenario.search.max_replicas
        return allowed if self.affordable is None else max(1, min(allowed, self.affordable))

    def guess(self, variant: Variant, limits: EngineLimits, traffic: PoolTraffic) -> int:
        """Fewest replicas by algebra: a steady state exists and meets the TPOT limit."""
        trace = traffic.trace
        if not len(trace):
            return 1
        limits = Plan(variant, limits, ()).limits_of(traffic)
        clock, kv = (
            self.runner.replica(variant, limits, merged=traffic.merged).clock,
            variant.memory(limits).kv_tokens,
        )
        counts = np.bincount(trace.adapter[trace.adapter >= 0], minlength=len(trace.adapters)) / len(trace)
        spec = variant.drafting
        tau = 1.0 if spec is None else spec.mean_adapter.tokens_per_step(spec.draft_length)
        tpot = min(
            (s.limit for s in self.question.scenario.objective.limits if s.metric is Metric.TPOT),
            default=np.inf,
        )
        rate = len(trace) / max(self.duration_s, 1e-9)

        def state(replicas: int) -> SteadyState:
            demand = Demand(
                rate / replicas,
                float(trace.prompt_tokens.mean()),
                float(trace.output_tokens.mean()),
                counts if limits.max_loras else np.zeros(0),
                tau,
                0 if spec is None else spec.draft_length,
            )
            return steady_state(clock, limits, kv, demand)

        most = self.question.scenario.search.max_replicas
        if state(most).tpot_s > _TPOT_MARGIN * tpot:
            tpot = np.inf  # no number meets the limit by algebra: begin where the load fits at all
        return _smallest(lambda n: state(n).stable and state(n).tpot_s <= _TPOT_MARGIN * tpot, most)

    def screened(self, variant: Variant, traffic: Sequence[PoolTraffic]) -> Screened:
        """A first plan for a variant: knobs by algebra, replicas by simulation where there is one pool.

        Not more than about twice the replicas that algebra asks for are tried.
        """
        limits, guess, tried = self._start(variant, traffic)
        floor = self.floor(variant, limits, traffic)
        if floor or variant.has_pools:
            replicas = tuple(self.guess(variant, limits, pool) for pool in traffic)
            return Screened(Plan(variant, limits, replicas), not floor, False, tried, floor)
        sizer = replace(self, affordable=min(self.most, _SCREEN_FACTOR * guess + 2))
        sized = sizer.one_pool(variant, limits, traffic[0], guess)
        short = sized.plan.replicas[0] > guess or not sized.trial.holds
        if limits.max_loras and short:  # for want of slots? Algebra knows only means
            sized = sizer.climbed(sized, self.rungs(variant, traffic[0]), traffic[0])
        return Screened(sized.plan, sized.trial.holds, sized.stagnant, tried)

    def floor(self, variant: Variant, limits: EngineLimits, traffic: Sequence[PoolTraffic]) -> str:
        """The limit that requests alone break; of a hybrid, all requests as if their adapters were merged.

        With the largest budget that may be tried, so that no knob gets below it.
        """
        pool = max(traffic, key=lambda pool: len(pool.trace))
        if variant.way == "hybrid":
            (pool,), limits = traffic_of("base", self.question.trial, ()), without_adapters(limits)
        limits = largest_budget(self.question, limits)
        clock = self.runner.replica(variant, limits, merged=pool.merged).clock
        return floor_reason(variant, limits, clock, pool, self.question.scenario.objective) or ""

    def _start(self, variant: Variant, traffic: Sequence[PoolTraffic]) -> tuple[EngineLimits, int, int]:
        """Limits to begin with, the replicas that algebra asks for, and how many limits were looked at."""
        plain = start_limits(self.question, variant)
        unmerged = traffic[-1]
        if variant.way in ("base", "merged"):
            return plain, self.guess(variant, plain, traffic[0]), 1
        rungs = self.rungs(variant, unmerged)
        guesses = [self.guess(variant, limits, unmerged) for limits in rungs]
        at = int(np.argmin(guesses))
        return rungs[at], guesses[at], len(rungs)

    def rungs(self, variant: Variant, traffic: PoolTraffic) -> list[EngineLimits]:
        """The ladder of slots that leave room for the longest request; at least its first rung."""
        plain = start_limits(self.question, variant)
        slots = slot_choices(self.question, variant)
        rungs = [with_slots(self.question, variant, plain, count) for count in slots]
        longest = longest_request(traffic, variant)
        return [limits for limits in rungs if variant.memory(limits).kv_tokens >= longest] or rungs[:1]

    def as_screened(self, screened: Screened, traffic: Sequence[PoolTraffic]) -> SizedPlan:
        """The screened plan, run on this trace as it is."""
        trial = self.runner.run(screened.plan, traffic, self.duration_s)
        return SizedPlan(screened.plan, trial, screened.stagnant, screened.tried, screened.floor)

    def one_pool(
        self, variant: Variant, limits: EngineLimits, traffic: PoolTraffic, guess: int | None = None
    ) -> SizedPlan:
        """Fewest replicas of one pool with these limits."""
        sized = self._fewest(variant, limits, traffic, guess or self.guess(variant, limits, traffic))
        return SizedPlan(Plan(variant, limits, (sized.replicas,)), sized.trial, sized.stagnant, 1)

    def multi_lora(
        self, variant: Variant, traffic: PoolTraffic, screened: Screened | None = None
    ) -> SizedPlan:
        """Size a multi-LoRA pool and find the number of slots at which it does best (the inner optimum).

        Starts on the rung of the ladder of slots for which algebra asks for the fewest replicas (the
        lowest of several) and climbs from there.
        """
        screened = screened or self.screened(variant, (traffic,))
        best = self.one_pool(variant, screened.plan.limits, traffic, screened.plan.replicas[0])
        rungs = self.rungs(variant, traffic)
        return replace(self.climbed(best, rungs, traffic), tried=len(rungs))

    def climbed(self, best: SizedPlan, rungs: Sequence[EngineLimits], traffic: PoolTraffic) -> SizedPlan:
        """Go to a neighbouring rung as long as it needs fewer replicas, or as many with less strain."""
        at = rungs.index(best.plan.limits)
        seen = {at}
        while not best.stagnant:
            beside = [i for i in (at + 1, at - 1) if 0 <= i < len(rungs) and i not in seen]
            if not beside:
                break
            seen.update(beside)
            rivals = [(self._rival(best, rungs[i], traffic), i) for i in beside]
            better, index = min(rivals, key=lambda pair: _rank(pair[0]))
            if _rank(better) >= _rank(best):
                break
            best, at = better, index
        return best

    def several(self, variant: Variant, limits: EngineLimits, traffic: Sequence[PoolTraffic]) -> SizedPlan:
        """Size several pools. The limits hold over all requests together, as for one pool.

        Starts from the guess of each pool and adds replicas where most requests break a limit; a pool
        that more replicas did not help (its late requests would be late alone) is left as it is. Then
        takes away what is not needed.
        """
        replicas = [self.guess(variant, limits, pool) for pool in traffic]
        helpless: set[int] = set()
        before: tuple[int, int] | None = None  # the pool that grew last, and its late requests until then
        while True:
            plan = Plan(variant, limits, tuple(replicas))
            trial = self.runner.run(plan, traffic, self.duration_s)
            if trial.holds:
                return self._fewer(SizedPlan(plan, trial, False, 1), traffic)
            late = self._late(trial, traffic)
            if before is not None and late[before[0]] > (1 - _HELP) * before[1]:
                helpless.add(before[0])
            most = self.question.scenario.search.max_replicas
            growing = [i for i in range(len(traffic)) if late[i] and i not in helpless and replicas[i] < most]
            if not growing or (self.affordable is not None and sum(replicas) > self.affordable):
                return SizedPlan(plan, trial, bool(helpless) and not growing, 1)
            worst = max(growing, key=lambda i: late[i])
            before = (worst, late[worst])
            replicas[worst] += max(1, replicas[worst] // 2)

    def _fewer(self, sized: SizedPlan, traffic: Sequence[PoolTraffic]) -> SizedPlan:
        """Take replicas away, pool by pool, largest first, as long as the limits hold."""
        order = sorted(range(len(traffic)), key=lambda i: -sized.plan.replicas[i])
        for index in order:
            while sized.plan.replicas[index] > 1:
                replicas = list(sized.plan.replicas)
                replicas[index] -= 1
                plan = sized.plan.with_replicas(*replicas)
                trial = self.runner.run(plan, traffic, self.duration_s)
                if not trial.holds:
                    break
                sized = replace(sized, plan=plan, trial=trial)
        return sized

    def _rival(self, best: SizedPlan, limits: EngineLimits, traffic: PoolTraffic) -> SizedPlan:
        """A neighbour's result at the best's replica count; sized only if it could do with fewer."""
        plan = replace(best.plan, limits=limits)
        trial = self.runner.run(plan, (traffic,), self.duration_s)
        if trial.holds and (not best.trial.holds or plan.replicas[0] > 1):
            return self.one_pool(plan.variant, limits, traffic, plan.replicas[0])
        return SizedPlan(plan, trial, best.stagnant, 1)

    def _fewest(self, variant: Variant, limits: EngineLimits, traffic: PoolTraffic, guess: int) -> Sized:
        run: Callable[[int], Trial] = lambda count: self.runner.run(  # noqa: E731  # a closure over four names
            Plan(variant, limits, (count,)), (traffic,), self.duration_s
        )
        return fewest_replicas(run, guess, self.most)

    def _late(self, trial: Trial, traffic: Sequence[PoolTraffic]) -> list[int]:
        """Requests of each pool that break a limit."""
        late, results = [0] * len(traffic), iter(trial.results)
        for index, pool in enumerate(traffic):
            if not len(pool.trace):
                continue
            result = next(results)
            bad = ~result.done
            for slo in self.question.scenario.objective.limits:
                bad |= ~(getattr(result, f"{slo.metric.value}_s") <= slo.limit)
            late[index] = int(bad.sum())
        return late


def _smallest(fits: Callable[[int], bool], most: int) -> int:
    """Smallest number up to `most` that fits, by doubling and bisection; `most` if none does."""
    high = 1
    while high < most and not fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return min(high, most)


def longest_request(traffic: PoolTraffic, variant: Variant) -> int:
    """Tokens that the KV cache must hold for the longest request of a pool."""
    if not len(traffic.trace):
        return 1
    gamma = 0 if variant.drafting is None else variant.drafting.draft_length
    return int((traffic.trace.prompt_tokens + traffic.trace.output_tokens).max()) + gamma + 1


def _rank(sized: SizedPlan) -> tuple[bool, int, float, float]:
    """Smaller is better: holds, fewer replicas, less strain, then (all that tells without limits) faster."""
    trial = sized.trial
    return (not trial.holds, sum(sized.plan.replicas), trial.strain, trial.outcome.e2e.mean_s)
