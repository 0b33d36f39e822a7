"""One variant to size: the unit of work of a search, and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from advisor.deployment import Variant
from advisor.search.pools import Screened, SizedPlan, Sizer
from advisor.search.question import Offer, Question
from advisor.search.saving import moved, saved
from advisor.search.trial import PoolTraffic, Runner, traffic_for

_NEAR = 1.5
"""Knobs are searched for candidates whose price is within this factor of the best."""
_UNBOUND = 1_000_000
_FAR = 4.0
"""Sizing stops where a variant costs this many times the best."""


@dataclass(frozen=True, slots=True)
class Work:
    """A variant to size."""

    variant: Variant
    offer: Offer
    screened: Screened
    warnings: tuple[str, ...] = ()

    @property
    def usd_per_device_hour(self) -> float:
        """Infinite where no price is known."""
        return float("inf") if self.offer.price is None else self.offer.price.usd_per_hour

    @property
    def screened_usd_per_hour(self) -> float:
        """Price of the first plan; infinite where it does not hold."""
        return self.usd_per_hour(self.screened.plan.devices) if self.screened.holds else float("inf")

    def usd_per_hour(self, devices: int) -> float:
        """Price of so many devices, with a draft's training; infinite where no price is known."""
        return self.usd_per_device_hour * devices + self.variant.training_usd_per_hour


def sizer_of(question: Question) -> Sizer:
    """A sizer on the trial trace, with a runner of its own."""
    runner = Runner(question.scenario.objective, question.ranks, question.scenario.seed)
    return Sizer(question, runner, max(question.trial.duration_s, 1e-9))


def screen(question: Question, variant: Variant) -> tuple[Screened, int]:
    """A first plan for a variant on a short trace, and the simulations that it took; picklable."""
    sizer = sizer_of(question)
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    return sizer.screened(variant, traffic), sizer.runner.simulations


def size(question: Question, work: Work, best_usd_per_hour: float) -> tuple[SizedPlan, int]:
    """Size one variant from its first plan; its knobs are searched only where that could make it the best.

    A piece of work that can be pickled; also counts the simulations that it took.
    """
    sizer = replace(sizer_of(question), affordable=_affordable(work, best_usd_per_hour))
    traffic = traffic_for(work.variant, question.trial, question.adapters.names)
    return _sized(sizer, work, traffic, best_usd_per_hour), sizer.runner.simulations


def is_far(usd_per_hour: float, best_usd_per_hour: float) -> bool:
    """Whether a plan is so dear beside the best that its knobs are not searched."""
    return usd_per_hour > _NEAR * best_usd_per_hour


def may_win(work: Work, devices: int, best_usd_per_hour: float, *, holds: bool) -> bool:
    """Whether a pool would be cheaper than the best if its knobs saved it a replica, or made it hold."""
    fewer = devices - (work.variant.terms.tensor_parallel if holds else 0)
    return work.usd_per_hour(fewer) < best_usd_per_hour


def _sized(sizer: Sizer, work: Work, traffic: tuple[PoolTraffic, ...], best_usd_per_hour: float) -> SizedPlan:
    variant, screened = work.variant, work.screened
    if screened.floor:  # on the short trace; does the trial say so too?
        floor = sizer.floor(variant, screened.plan.limits, traffic)
        if floor:
            return replace(sizer.as_screened(screened, traffic), floor=floor)
        screened = replace(screened, holds=True, floor="")
    if variant.way == "merged":
        return sizer.several(variant, screened.plan.limits, traffic)
    if variant.way == "hybrid":
        rest = sizer.multi_lora(variant, traffic[-1])  # how many slots the pool of the rest wants
        return sizer.several(variant, rest.plan.limits, traffic)
    if not screened.holds or is_far(work.screened_usd_per_hour, best_usd_per_hour):
        sized = sizer.as_screened(screened, traffic)
        usd_per_hour = work.usd_per_hour(sized.plan.devices)
        if is_far(usd_per_hour, best_usd_per_hour) if sized.trial.holds else not screened.holds:
            if variant.way == "base":
                return sized
            return moved(sizer, sized, traffic[0], _most_to_win(work, best_usd_per_hour))
    if variant.way == "base":
        return sizer.one_pool(variant, screened.plan.limits, traffic[0], screened.plan.replicas[0])
    sized = sizer.multi_lora(variant, traffic[0], screened)
    return saved(sizer, sized, traffic[0], _most_to_win(work, best_usd_per_hour))


def _most_to_win(work: Work, best_usd_per_hour: float) -> int:
    """Replicas with which a variant is still cheaper than the best; very many where there is no price."""
    price = work.usd_per_device_hour * work.variant.terms.tensor_parallel
    if float("inf") in (price, best_usd_per_hour):
        return _UNBOUND
    return math.ceil((best_usd_per_hour - work.variant.training_usd_per_hour) / price) - 1


def _affordable(work: Work, best_usd_per_hour: float) -> int | None:
    """Replicas at which a variant costs so much more than the best that its exact number tells nothing."""
    price = work.usd_per_device_hour * work.variant.terms.tensor_parallel
    if float("inf") in (price, best_usd_per_hour):
        return None
    return max(1, int(_FAR * best_usd_per_hour / price))
