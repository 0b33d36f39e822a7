"""One variant to size: the unit of work of a search, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.deployment import Variant
from advisor.search.knobs import start_limits, with_slots
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Offer, Question
from advisor.search.trial import PoolTraffic, Runner, traffic_of

_NEAR = 1.5
"""Knobs are searched for candidates whose price is within this factor of the best."""
_FAR = 4.0
"""Sizing stops where a variant costs this many times the best."""
_START_SLOTS = 16


@dataclass(frozen=True, slots=True)
class Work:
    """A variant to size."""

    optimistic_usd_per_hour: float  # by algebra
    variant: Variant
    offer: Offer
    warnings: tuple[str, ...] = ()


def sizer_of(question: Question) -> Sizer:
    """A sizer on the trial trace, with a runner of its own."""
    runner = Runner(question.scenario.objective, question.ranks, question.scenario.seed)
    return Sizer(question, runner, max(question.trial.duration_s, 1e-9))


def size(question: Question, work: Work, best_usd_per_hour: float) -> tuple[SizedPlan, int]:
    """Size one variant, and count the simulations that it took; a picklable piece of work."""
    sizer = sizer_of(question)
    traffic = traffic_of(work.variant.way, question.trial, question.adapters.names)
    return _sized(sizer, work, traffic, best_usd_per_hour), sizer.runner.simulations


def confirm(question: Question, longer: Question, sized: SizedPlan) -> tuple[SizedPlan, int]:
    """Run a plan on a longer trace, add the replicas that it needs there, and run that on the first again.

    All options, and all studies of one, are so shown on the same requests.
    """
    sizer = sizer_of(longer)
    traffic = traffic_of(sized.plan.variant.way, longer.trial, longer.adapters.names)
    grown = _on_longer(sizer, sized, traffic)
    simulations = sizer.runner.simulations
    if grown is sized:
        return sized, simulations
    sizer = sizer_of(question)
    traffic = traffic_of(sized.plan.variant.way, question.trial, question.adapters.names)
    trial = sizer.runner.run(grown.plan, traffic, sizer.duration_s)
    simulations += sizer.runner.simulations
    return (replace(grown, trial=trial) if grown.trial.holds else grown), simulations


def optimistic_usd_per_hour(
    question: Question, sizer: Sizer, variant: Variant, offer: Offer, traffic: Sequence[PoolTraffic]
) -> float:
    """A guess of the price from algebra, to order the work."""
    limits = start_limits(question, variant)
    if variant.way == "multi-lora":
        slots = min(_START_SLOTS, len(question.adapters.names))
        limits = with_slots(question, variant, limits, slots)
    price = float("inf") if offer.price is None else offer.price.usd_per_hour
    largest = max(traffic, key=lambda pool: len(pool.trace))
    replicas = sizer.guess(variant, limits, largest) + len(traffic) - 1
    return price * replicas * variant.terms.tensor_parallel


def _sized(sizer: Sizer, work: Work, traffic: tuple[PoolTraffic, ...], best_usd_per_hour: float) -> SizedPlan:
    """Size one variant; search its knobs only where that could make it the best."""
    variant, near = work.variant, work.optimistic_usd_per_hour <= _NEAR * best_usd_per_hour
    sizer = replace(sizer, affordable=_affordable(work, best_usd_per_hour))
    floored = sizer.floored(variant, traffic)
    if floored is not None:
        return floored
    if variant.way == "merged":
        return sizer.merged(variant, traffic)
    if variant.way == "multi-lora":
        sized = sizer.multi_lora(variant, traffic[0], climb=near)
    else:
        sized = sizer.one_pool(variant, start_limits(sizer.question, variant), traffic[0])
    price = float("inf") if work.offer.price is None else work.offer.price.usd_per_hour
    degree = variant.terms.tensor_parallel
    with_one_less = price * (sized.plan.devices - (degree if sized.trial.holds else 0))
    if with_one_less < best_usd_per_hour:
        sized = sizer.tightened(sized, traffic[0])
    return sized


def _affordable(work: Work, best_usd_per_hour: float) -> int | None:
    """Replicas at which a variant costs so much more than the best that its exact number tells nothing."""
    price = None if work.offer.price is None else work.offer.price.usd_per_hour
    if price is None or best_usd_per_hour == float("inf"):
        return None
    return max(1, int(_FAR * best_usd_per_hour / (price * work.variant.terms.tensor_parallel)))


def _on_longer(sizer: Sizer, sized: SizedPlan, traffic: tuple[PoolTraffic, ...]) -> SizedPlan:
    """The same plan on other traffic, with more replicas if it needs them there."""
    trial = sizer.runner.run(sized.plan, traffic, sizer.duration_s)
    if trial.holds:
        return sized
    plan = sized.plan
    if plan.variant.way == "merged":
        return sizer.merged(plan.variant, traffic)
    return sizer.one_pool(plan.variant, plan.limits, traffic[0], plan.replicas[0])
