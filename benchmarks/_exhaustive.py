"""Every plan of a small grid, simulated: ways x drafts x slots x budgets x seats x routers x replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from advisor.deployment import Variant
from advisor.recommendation import Option
from advisor.search.candidates import variants
from advisor.search.knobs import slot_choices, start_limits, with_slots
from advisor.search.question import Offer, Question
from advisor.search.trial import Plan, PoolTraffic, Trial, traffic_for
from advisor.search.work import sizer_of
from advisor.sim.setup import Router
from advisor.spec.engine import EngineLimits

ROUTERS: Final[tuple[Router, ...]] = ("least-outstanding", "adapter-affinity")


@dataclass(frozen=True, slots=True)
class Best:
    """The cheapest plan that holds, of equals the least strained; and how many were simulated."""

    plan: Plan | None
    usd_per_hour: float
    trial: Trial | None
    plans: int


def exhaustive(question: Question, *, most_replicas: int, budgets: tuple[int, ...] = ()) -> Best:
    """Simulate every plan of one pool, and every merged plan with equal pools, and take the cheapest.

    Args:
        question: small; its trial is what is simulated.
        most_replicas: of a pool.
        budgets: values of max_num_batched_tokens beside the engine's own.
    """
    best, plans = Best(None, float("inf"), None, 0), 0
    for variant, offer in _variants(question):
        sizer = sizer_of(question)
        traffic = traffic_for(variant, question.trial, question.adapters.names)
        for plan in _plans(question, variant, traffic, most_replicas, budgets):
            trial = sizer.runner.run(plan, traffic, sizer.duration_s)
            plans += 1
            price = plan.devices * (offer.price.usd_per_hour if offer.price else float("inf"))
            strain = float("inf") if best.trial is None else best.trial.strain
            if trial.holds and (price, trial.strain) < (best.usd_per_hour, strain):
                best = Best(plan, price, trial, plans)
    return replace(best, plans=plans)


def _variants(question: Question) -> Iterator[tuple[Variant, Offer]]:
    offers = {offer.profile.device.name: offer for offer in question.offers}
    for item in variants(question):
        if not isinstance(item, Option) and item[0].way in ("multi-lora", "merged"):
            yield item[0], offers[item[0].profile.device.name]


def _plans(
    question: Question,
    variant: Variant,
    traffic: tuple[PoolTraffic, ...],
    most_replicas: int,
    budgets: tuple[int, ...],
) -> Iterator[Plan]:
    plain = start_limits(question, variant)
    longest = int((question.trial.prompt_tokens + question.trial.output_tokens).max()) + 32
    if variant.way == "merged":
        for count in range(1, most_replicas + 1):
            yield Plan(variant, plain, (count,) * len(traffic))
        return
    for slots in slot_choices(question, variant):
        own = with_slots(question, variant, plain, slots)
        if variant.memory(own).kv_tokens < longest:
            continue
        for limits in (own, *(_with_budget(own, budget) for budget in budgets)):
            for router in ROUTERS:
                for count in range(1 if router == ROUTERS[0] else 2, most_replicas + 1):
                    yield Plan(replace(variant, router=router), limits, (count,))


def _with_budget(limits: EngineLimits, budget: int) -> EngineLimits:
    seats = min(limits.max_num_seqs, budget)
    return limits.model_copy(update={"max_num_batched_tokens": budget, "max_num_seqs": seats})
