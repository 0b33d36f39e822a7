"""Knobs that may save a multi-LoRA pool replicas, or meet a limit that was missed.

Each is tried with `most` replicas, the number with which the pool would be the cheapest of all, or with one
less than it has, whichever is smaller. What does not hold there is of no use. Where the plan as it is misses
a limit by far with so few, only adapters kept at home can help; the other knobs are then not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.search.knobs import neighbours
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.trial import Plan, PoolTraffic, Trial

_HOMES = 2
"""Replicas less that are tried with a router that keeps adapters at home."""
_REACH = 1.8
"""Slots, budgets, seats and turns are tried where no limit is missed by more than so many times. (On 72
random questions and the shipped scenarios they met none that was missed by more than 1.61 times.)"""


def saved(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> SizedPlan:
    """Try slots, routers, budgets and seats in turn, each from what the one before found."""
    for knob in (slotted, routed, stepped):
        sized = knob(sizer, sized, traffic, most)
    return sized


def moved(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> SizedPlan:
    """Try routers, then the rest if one of them holds: all that a plan far from the best is worth."""
    found = routed(sizer, sized, traffic, most)
    return saved(sizer, found, traffic, most) if found.trial.holds and found.plan != sized.plan else found


def slotted(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> SizedPlan:
    """Try every number of slots with fewer replicas: the climb sees only the neighbours of where it is."""
    if not _in_reach(sizer, sized, traffic, most):
        return sized
    best, tried = sized, sized.tried
    rungs = sizer.rungs(sized.plan.variant, traffic)
    while (count := _wanted(best, most)) >= 1:
        plans = [Plan(sized.plan.variant, limits, (count,)) for limits in rungs]
        holding = _first_holding(sizer, plans, traffic)
        if holding is None:
            break
        best = sizer.one_pool(holding.variant, holding.limits, traffic, *holding.replicas)
        best = sizer.climbed(best, rungs, traffic)
    return replace(best, tried=tried)


def routed(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> SizedPlan:
    """Try the other routers that the scenario allows, with the slots at hand and with those of a share.

    With adapters kept on replicas of their own a replica serves a share of them, so that it may do with as
    many slots as that share is large.
    """
    best, tried = sized, sized.tried
    rungs = sizer.rungs(sized.plan.variant, traffic)
    for router in sizer.question.scenario.search.routers:
        count = _wanted(best, most)
        if router == sized.plan.variant.router or count < 2 or len(traffic.adapters) < 2:
            continue
        if router != "adapter-affinity" and not _in_reach(sizer, best, traffic, most):
            continue
        variant = replace(sized.plan.variant, router=router)
        share = next((r for r in rungs if r.max_loras * count >= len(traffic.adapters)), rungs[-1])
        settings = tuple(dict.fromkeys((best.plan.limits, share)))
        tried += len(settings)
        plan = _first_holding(sizer, [Plan(variant, limits, (count,)) for limits in settings], traffic)
        if plan is not None:
            best = sizer.climbed(
                sizer.one_pool(variant, plan.limits, traffic, *plan.replicas), rungs, traffic
            )
    return replace(best, tried=tried)


def stepped(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> SizedPlan:
    """Try other budgets and fewer seats: do they save a replica, or meet a limit that was not met?"""
    if not _in_reach(sizer, sized, traffic, most):
        return sized
    best, tried = sized, sized.tried
    for limits in neighbours(sizer.question, sized.plan.limits):
        tried += 1
        count = _wanted(best, most)
        if count < 1:
            break
        plan = _first_holding(sizer, [Plan(sized.plan.variant, limits, (count,))], traffic)
        if plan is not None:
            best = sizer.one_pool(sized.plan.variant, limits, traffic, *plan.replicas)
    return replace(best, tried=tried)


def _first_holding(sizer: Sizer, plans: Sequence[Plan], traffic: PoolTraffic) -> Plan | None:
    """The first of some plans that holds; where adapters have homes, also with somewhat fewer replicas.

    There the number of replicas decides which adapters share one, so that three may hold where four do not.
    Fewer are not tried where homes make things worse.
    """
    for plan in plans:
        (count,) = plan.replicas
        if _trial(sizer, plan, traffic).holds:
            return plan
        if plan.variant.router != "adapter-affinity":
            continue
        shared = replace(plan, variant=replace(plan.variant, router="least-outstanding"))
        if _trial(sizer, plan, traffic).strain >= _trial(sizer, shared, traffic).strain:
            continue
        for replicas in range(count - 1, max(2, count - _HOMES) - 1, -1):
            fewer = plan.with_replicas(replicas)
            if _trial(sizer, fewer, traffic).holds:
                return fewer
    return None


def _trial(sizer: Sizer, plan: Plan, traffic: PoolTraffic) -> Trial:
    return sizer.runner.run(plan, (traffic,), sizer.duration_s)


def _in_reach(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic, most: int) -> bool:
    """Whether a plan misses its limits by so little, with few enough replicas to pay, that knobs may help."""
    count = _wanted(sized, most)
    return count >= 1 and _trial(sizer, sized.plan.with_replicas(count), traffic).excess <= _REACH


def _wanted(best: SizedPlan, most: int) -> int:
    """The replicas with which a change of knobs would be a gain."""
    return min(most, best.plan.replicas[0] - (1 if best.trial.holds else 0))
