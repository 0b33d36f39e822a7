"""The last look at a plan: a longer stretch of the traffic, then other draws of it, each with its own luck.

A plan that holds on one stretch may hold by chance. It is grown on the longer stretch until it holds there;
where it then fails on half of the draws or more, it is grown on the draw with the median strain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.recommendation import SloCheck, Spread, SpreadOf
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Question, decisive_stretch, stretch
from advisor.search.trial import PoolTraffic, traffic_for
from advisor.search.work import sizer_of
from advisor.spec.workload import TraceFile
from advisor.trace.realise import trace_of
from advisor.trace.trace import Trace

_FACTOR = 5
"""The longer stretch holds this many times the trial's requests."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """What the best plans are confirmed on, light enough to be sent about."""

    trial: Question
    longer: Question | None  # None: the trial is the whole workload
    draws: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a plan did on one draw."""

    holds: bool
    strain: float
    checks: tuple[SloCheck, ...]


def stretches(question: Question, slim: Question) -> Stretches:
    """The longer stretch, and as many other draws of equal length as `search.draws` asks for.

    A drawn workload is drawn anew; a recorded one gives other stretches of itself, as far as it has any. Each
    draw has a seed of its own for the verify steps, too.

    Args:
        question: with the whole workload.
        slim: the same with the trial alone.
    """
    count = min(len(question.whole), _FACTOR * len(question.trial))
    longer = None
    if count > len(question.trial):
        part = decisive_stretch(question.scenario, question.whole, count)
        longer = replace(slim, whole=part, trial=part)
    draws = []
    for number in range(1, question.scenario.search.draws + 1):
        trace = _other(question, number, count)
        if trace is not None:
            scenario = slim.scenario.model_copy(update={"seed": _seed(question, number)})
            draws.append(replace(slim, scenario=scenario, whole=trace, trial=trace))
    return Stretches(slim, longer, tuple(draws))


def _seed(question: Question, number: int) -> int:
    return (question.scenario.seed + number) % 2**63


def _other(question: Question, number: int, count: int) -> Trace | None:
    """Another draw of so many requests; None where the workload has no other."""
    workload = question.scenario.workload
    if isinstance(workload, TraceFile):
        start = number * count
        return stretch(question.whole, start, start + count) if start + count <= len(question.whole) else None
    adapters = question.adapters
    whole = trace_of(
        workload,
        adapters.names,
        adapters.shares,
        adapters.base_share,
        seed=_seed(question, number),
        folder=question.folder,
    )
    same = tuple(whole.adapters) == tuple(question.whole.adapters)
    return decisive_stretch(question.scenario, whole, count) if same and len(whole) else None


def confirm(trial: Question, longer: Question, sized: SizedPlan) -> tuple[SizedPlan, int]:
    """Run a plan on more traffic, and add the replicas that it needs there; also counts the simulations.

    What it did is then told from the trial: all options, and all studies of one, are so shown on the same
    requests.
    """
    sizer, traffic = _set_up(longer, sized)
    plan = sized.plan
    if sizer.runner.run(plan, traffic, sizer.duration_s).holds:
        return sized, sizer.runner.simulations
    if plan.variant.has_pools:
        grown = sizer.several(plan.variant, plan.limits, traffic)
    else:
        grown = sizer.one_pool(plan.variant, plan.limits, traffic[0], plan.replicas[0])
    simulations = sizer.runner.simulations
    grown = replace(grown, tried=sized.tried, on_trial=sized.on_trial or plan.replicas)
    if grown.trial.holds:
        sizer, traffic = _set_up(trial, grown)
        grown = replace(grown, trial=sizer.runner.run(grown.plan, traffic, sizer.duration_s))
        simulations += sizer.runner.simulations
    return grown, simulations


def on_draw(draw: Question, sized: SizedPlan) -> Drawn:
    """Run a plan as it is on a draw."""
    sizer, traffic = _set_up(draw, sized)
    trial = sizer.runner.run(sized.plan, traffic, sizer.duration_s)
    return Drawn(trial.holds, trial.strain, trial.checks)


def _set_up(question: Question, sized: SizedPlan) -> tuple[Sizer, tuple[PoolTraffic, ...]]:
    return sizer_of(question), traffic_for(sized.plan.variant, question.trial, question.adapters.names)


def decisive_draw(draws: Sequence[Question], seen: Sequence[Drawn]) -> Question | None:
    """The draw with the median strain (of two the harder) where half or more failed, else None.

    Args:
        draws: all draws.
        seen: on all of them, or on the hardest half (rounded up), which all failed.
    """
    failing = sum(not one.holds for one in seen)
    if 2 * failing < len(draws):
        return None
    order = sorted(range(len(seen)), key=lambda i: seen[i].strain)
    return draws[order[len(draws) // 2 - (len(draws) - len(seen))]]


def spread_of(seen: Sequence[Drawn]) -> Spread:
    """What the draws say, limit by limit."""
    rows = []
    for checks in zip(*(one.checks for one in seen), strict=True):
        low, median, high = np.percentile([check.value for check in checks], (0, 50, 100))
        first = checks[0]
        rows.append(
            SpreadOf(
                metric=first.metric,
                percentile=first.percentile,
                limit=first.limit,
                low=float(low),
                median=float(median),
                high=float(high),
            )
        )
    return Spread(draws=len(seen), holding=sum(one.holds for one in seen), limits=tuple(rows))
