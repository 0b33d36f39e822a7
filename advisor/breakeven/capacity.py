"""The largest load that a few replicas carry with every limit holding and no queue growing, by simulation.

A pool evens out bursts: under a tight limit on TTFT three replicas may carry six times what one does. So a
single replica and a pool of 3 are tried; 2 lie between, and in a larger pool each replica is taken to carry
what it does in a pool of 3. Pools of one size always see the same requests, faster or slower, whatever they
serve: differences are sharp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from advisor.deployment import Variant, without_adapters
from advisor.search.floor import floor_reason
from advisor.search.knobs import start_limits, with_slots
from advisor.search.pools import longest_request
from advisor.search.question import Question, typical_stretch
from advisor.search.trial import PoolTraffic, Runner, as_base
from advisor.spec.engine import EngineLimits
from advisor.trace.scale import faster, repeated
from advisor.trace.trace import Trace

WITHIN = 1.03
"""A capacity is known to this factor."""
SIZES = (1, 3)
"""Replicas of the pools that are tried."""
REQUESTS = 600
"""For each replica of a pool, at most."""
_LEAST_RPS = 1e-3
_MOST_RPS = 1e5
_STEP = 1.12
_SLOTS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Bench:
    """A small pool on which loads are tried."""

    question: Question
    variant: Variant
    limits: EngineLimits
    fine_tuned: bool

    @cached_property
    def runner(self) -> Runner:
        """Runs and counts simulations."""
        return Runner(self.question.scenario.objective, self.question.ranks, self.question.scenario.seed)

    @cached_property
    def fits(self) -> bool:
        """The longest request fits into the KV cache, and one alone breaks no limit."""
        traffic = self.traffic(SIZES[-1])
        if self.variant.memory(self.limits).kv_tokens < longest_request(traffic, self.variant):
            return False
        clock = self.runner.replica(self.variant, self.limits, merged="" if self.fine_tuned else None).clock
        objective = self.question.scenario.objective
        return floor_reason(self.variant, self.limits, clock, traffic, objective) is None

    def traffic(self, replicas: int) -> PoolTraffic:
        """A typical stretch of the whole traffic, longer for a larger pool; too short, it is repeated."""
        wanted = min(REQUESTS, self.question.scenario.search.requests) * replicas
        whole = self.question.whole
        if wanted > 2 * len(whole):
            whole = repeated(whole, wanted // len(whole))
        trace = typical_stretch(whole, wanted)
        trace = as_base(trace) if self.fine_tuned else trace
        return PoolTraffic("bench", trace.adapters, trace, self.fine_tuned, 1.0)

    def holds(self, rate_rps: float, replicas: int) -> bool:
        """Whether so many replicas carry this load."""
        return self._holds(self.traffic(replicas).trace, rate_rps, replicas)

    def capacity_rps(self, replicas: int, guess_rps: float) -> float:
        """Largest load of so many replicas, to 3 %; 0: none holds."""
        if not self.fits:
            return 0.0
        trace = self.traffic(replicas).trace
        return largest(lambda rate: self._holds(trace, rate, replicas), guess_rps)

    def _holds(self, trace: Trace, rate_rps: float, replicas: int) -> bool:
        trace = faster(trace, rate_rps / trace.rate_rps)
        setup = self.runner.replica(self.variant, self.limits, merged="" if self.fine_tuned else None)
        result = self.runner.fleet(setup, trace, replicas, self.variant.router)
        return self.runner.judge([result], max(trace.duration_s, 1e-9), replicas).holds


def largest(holds: Callable[[float], bool], guess: float) -> float:
    """Largest value that holds, to 3 %: by factors from a guess, then halved; 0 where none does.

    Assumes that less never hurts.
    """
    low, high, step = guess, guess, _STEP
    if holds(guess):
        while high < _MOST_RPS:
            high = low * step
            if not holds(high):
                break
            low, step = high, step * step
    else:
        while True:
            low = high / step
            if low < _LEAST_RPS:
                return 0.0
            if holds(low):
                break
            high, step = low, step * step
    while high / low > WITHIN:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Carried:
    """The load that pools of one kind carry, by their size, and with which limits."""

    rps: tuple[float, ...]  # one for each of SIZES, never falling; 0: none holds
    limits: EngineLimits
    simulations: int = 0

    @property
    def each_rps(self) -> float:
        """Of one replica in a large pool."""
        return self.rps[-1] / SIZES[-1]


def merged_pools(question: Question, variant: Variant, guess_rps: float) -> Carried:
    """Pools with merged weights: any adapter's requests are taken to look like all of them."""
    limits = without_adapters(start_limits(question, variant))
    bench = Bench(question, variant, limits, True)
    found: list[float] = []
    for size in SIZES:
        guess = found[-1] * size if found and found[-1] else guess_rps
        found.append(max(bench.capacity_rps(size, guess), *found, 0.0))
    return Carried(tuple(found), limits, bench.runner.simulations)


def multi_lora_pools(question: Question, variant: Variant, guess_rps: float) -> Carried:
    """Multi-LoRA pools, with the slots with which the largest carries most (of equals the fewest).

    Args:
        question: the traffic with its adapters.
        variant: multi-LoRA on a device.
        guess_rps: about what the largest pool carries.
    """
    plain = start_limits(question, variant)
    best, carried, simulations = None, 0.0, 0
    for count in slots_to_try(question):
        bench = Bench(question, variant, with_slots(question, variant, plain, count), False)
        if bench.fits and (not carried or bench.holds(carried * WITHIN, SIZES[-1])):
            found = bench.capacity_rps(SIZES[-1], carried * WITHIN or guess_rps)
            if found > carried:
                best, carried = bench, found
        simulations += bench.runner.simulations
    if best is None:
        slots = slots_to_try(question)[0]
        return Carried((0.0,) * len(SIZES), with_slots(question, variant, plain, slots), simulations)
    before = best.runner.simulations
    alone = min(best.capacity_rps(SIZES[0], carried / SIZES[-1]), carried)
    return Carried((alone, carried), best.limits, simulations + best.runner.simulations - before)


def slots_to_try(question: Question) -> tuple[int, ...]:
    """A few steps up to the number of adapters, or the user's own."""
    fixed, adapters = question.scenario.engine.max_loras, len(question.adapters)
    if fixed is not None:
        return (fixed,)
    return tuple(sorted({min(adapters, step) for step in _SLOTS}))
