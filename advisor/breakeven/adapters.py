"""Merging against multi-LoRA over (adapters x load), and how many adapters one replica carries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from advisor.breakeven.answer import Crossing, MergeCurve, MergePoint, PackingCurve
from advisor.breakeven.capacity import SIZES, Bench, Carried, merged_pools, multi_lora_pools
from advisor.breakeven.crossing import finite, last_above
from advisor.breakeven.few import base_share_of, weights_of, with_adapters
from advisor.breakeven.replicas import merged_replicas, merging_pays_from, replicas_for
from advisor.deployment import Variant
from advisor.robustness.inputs import Input, doubts_of, factors_of, spread_evenly
from advisor.robustness.interval import interval
from advisor.robustness.scaled import scaled
from advisor.search.parallel import run_all
from advisor.search.question import Question
from advisor.spec.quantities import significant

_LOADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_ROUND_COUNTS = (1, 8, 64, 512)


@dataclass(frozen=True, slots=True)
class Ways:
    """The two ways on one device, without speculation."""

    multi_lora: Variant
    merged: Variant


@dataclass(frozen=True, slots=True)
class World:
    """What pools carry in one world: merged, and multi-LoRA by number of adapters."""

    merged: Carried
    multi_lora: tuple[Carried, ...]

    @property
    def simulations(self) -> int:
        """That it took."""
        return self.merged.simulations + sum(one.simulations for one in self.multi_lora)


def counts_of(question: Question) -> tuple[int, ...]:
    """Numbers of adapters to look at: a few round ones, the scenario's own and twice that."""
    own = len(question.adapters)
    return tuple(sorted({count for count in _ROUND_COUNTS if count < own} | {own, 2 * own}))


def as_estimated(question: Question, ways: Ways, counts: Sequence[int], jobs: int) -> World:
    """Capacities with every term as it is, and the slots that do best."""
    merged = merged_pools(question, ways.merged, max(question.trial.rate_rps / 4, 0.1))
    slim, guess = replace(question, offers=()), merged.rps[-1] or 1.0
    tasks = [partial(_multi_lora, slim, ways.multi_lora, count, guess) for count in counts]
    return World(merged, tuple(run_all(tasks, jobs)))


def _multi_lora(question: Question, variant: Variant, count: int, guess_rps: float) -> Carried:
    return multi_lora_pools(with_adapters(question, count), variant, guess_rps)


def in_world(
    question: Question, ways: Ways, counts: Sequence[int], base: World, z: Mapping[Input, float]
) -> World:
    """Capacities in another world, slots as they are.

    Measured again: one replica and the largest pool of multi-LoRA, one replica of merged weights; what lies
    between moves along.
    """
    merged = scaled(ways.merged, factors_of(ways.merged, z))
    multi = scaled(ways.multi_lora, factors_of(ways.multi_lora, z))
    alone = _again(question, merged, base.merged, SIZES[:1])
    few = [with_adapters(question, count) for count in counts]
    pools = [
        _again(asked, multi, known, (SIZES[0], SIZES[-1]))
        for asked, known in zip(few, base.multi_lora, strict=True)
    ]
    return World(alone, tuple(pools))


def _again(question: Question, variant: Variant, known: Carried, sizes: Sequence[int]) -> Carried:
    """The capacities of these sizes anew, the others by the ratio of the nearest size that was tried."""
    bench = Bench(question, variant, known.limits, not known.limits.max_loras)
    ratio: dict[int, float] = {}
    rps = dict(zip(SIZES, known.rps, strict=True))
    for size in sizes:
        if rps[size] > 0:
            guess = rps[size] * next(reversed(ratio.values()), 1.0)
            ratio[size] = bench.capacity_rps(size, guess or rps[size]) / rps[size]
    near = {size: min(ratio, key=lambda tried: abs(tried - size)) for size in SIZES} if ratio else {}
    scaled_rps = [rps[size] * ratio[near[size]] if near else 0.0 for size in SIZES]
    rising = tuple(max(scaled_rps[: place + 1]) for place in range(len(SIZES)))
    return Carried(rising, known.limits, bench.runner.simulations)


def drawn(
    question: Question, ways: Ways, counts: Sequence[int], base: World, draws: int, jobs: int
) -> list[World]:
    """Capacities in `draws` worlds; the terms of both ways are drawn together, the requests are the same."""
    doubts = (*doubts_of(ways.multi_lora).values(), *doubts_of(ways.merged).values())
    inputs = sorted({doubt.input for doubt in doubts})
    z = {one: spread_evenly(one, draws, question.scenario.seed) for one in inputs}
    slim = replace(question, offers=())
    tasks: list[Callable[[], World]] = [
        partial(in_world, slim, ways, counts, base, {one: z[one][draw] for one in inputs})
        for draw in range(draws)
    ]
    return list(run_all(tasks, jobs))


def merge_curve(
    question: Question, counts: Sequence[int], base: World, worlds: Sequence[World]
) -> MergeCurve:
    """The load from which on merging pays, by number of adapters, with its interval."""
    loads = tuple(factor * question.trial.rate_rps for factor in _LOADS)
    low, high = interval([world.merged.rps[0] for world in (*worlds, *(() if worlds else (base,)))])
    return MergeCurve(
        merged_rps=base.merged.rps[0],
        merged_low_rps=low,
        merged_high_rps=high,
        merged_large_pool_rps=base.merged.each_rps,
        loads_rps=loads,
        points=tuple(
            _merge_point(
                question,
                count,
                [w.multi_lora[place] for w in (base, *worlds)],
                [w.merged for w in (base, *worlds)],
                loads,
            )
            for place, count in enumerate(counts)
        ),
    )


def _merge_point(
    question: Question,
    count: int,
    multi: Sequence[Carried],
    merged: Sequence[Carried],
    loads: tuple[float, ...],
) -> MergePoint:
    """One number of adapters; the first of `multi` and `merged` is the estimate, the rest are draws."""
    shares = _pool_shares(question, count)
    at, *every = (_pays_from(shares, one, alone) for one, alone in zip(multi, merged, strict=True))
    low, high = interval([one.each_rps for one in multi[1:] or multi])
    asked = np.asarray(loads)
    together = merged_replicas(asked, np.asarray(shares), merged[0].rps)
    return MergePoint(
        adapters=count,
        max_loras=multi[0].limits.max_loras,
        multi_lora_rps=multi[0].rps[0],
        multi_lora_large_pool_rps=multi[0].each_rps,
        multi_lora_large_pool_low_rps=low,
        multi_lora_large_pool_high_rps=high,
        crossing_rps=_crossing_rps(at, every or [at]),
        replicas=tuple(
            (_whole(a), _whole(b)) for a, b in zip(replicas_for(asked, multi[0].rps), together, strict=True)
        ),
    )


def _whole(count: float) -> int | None:
    return int(count) if math.isfinite(count) else None


def _pool_shares(question: Question, count: int) -> tuple[float, ...]:
    """Share of the load of each merged pool: the adapters, and the base where it is asked for."""
    base = base_share_of(question.whole)
    shares = tuple((1 - base) * weight for weight in weights_of(question, count))
    return (*shares, base) if base > 0 else shares


def _pays_from(shares: Sequence[float], multi_lora: Carried, merged: Carried) -> float:
    found = merging_pays_from(shares, multi_lora.rps, merged.rps)
    return math.inf if found is None else found


def _crossing_rps(at: float, every: Sequence[float]) -> Crossing:
    low, high = interval(every)
    if not math.isfinite(at):
        words = "at no load: one merged replica carries no more than a multi-LoRA one"
    elif at == 0:
        words = "at any load"
    else:
        words = f"from {significant(at)} req/s on"
    return Crossing(value=finite(at), low=finite(low), high=finite(high), words=words)


def packing_curve(
    question: Question, counts: Sequence[int], base: World, worlds: Sequence[World]
) -> PackingCurve:
    """Adapters that one replica carries, if each brings the mean load of the scenario's adapters."""
    each = question.trial.rate_rps / len(question.adapters)
    at = _packed(counts, base, each)
    low, high = interval([_packed(counts, world, each) for world in worlds] or [at])
    if at <= 0:
        words = f"fewer than {counts[0]}"
    elif not math.isfinite(at):
        words = f"{counts[-1]} and more"
    else:
        words = f"about {at:.0f}"
    return PackingCurve(
        rps_per_adapter=each,
        adapters=tuple(counts),
        carried_rps=tuple(carried.rps[0] for carried in base.multi_lora),
        asked_rps=tuple(count * each for count in counts),
        crossing_adapters=Crossing(
            value=finite(at) if at > 0 else None, low=finite(low), high=finite(high), words=words
        ),
    )


def _packed(counts: Sequence[int], world: World, each: float) -> float:
    """Where what is asked crosses what is carried, on logarithmic axes; 0 where one adapter is too many."""
    margin = [
        math.log(carried.rps[0] / (count * each)) if carried.rps[0] > 0 else -math.inf
        for count, carried in zip(counts, world.multi_lora, strict=True)
    ]
    found = last_above(counts, margin)
    return 0.0 if found is None else found
