"""Knobs that may save a multi-LoRA pool a replica, or meet a limit that was missed."""

from __future__ import annotations

from dataclasses import replace

from advisor.search.knobs import tighter
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.trial import Plan, PoolTraffic


def saved(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic) -> SizedPlan:
    """Try slots, routers, budgets and seats in turn, each from what the one before found."""
    for knob in (slotted, routed, tightened):
        sized = knob(sizer, sized, traffic)
    return sized


def slotted(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic) -> SizedPlan:
    """Try every number of slots with a replica less: the climb sees only the neighbours of where it is."""
    best, tried = sized, sized.tried
    rungs = sizer.rungs(sized.plan.variant, traffic)
    while (count := _wanted(best)) >= 1:
        plans = [Plan(sized.plan.variant, limits, (count,)) for limits in rungs]
        trials = (sizer.runner.run(plan, (traffic,), sizer.duration_s) for plan in plans)
        holding = next((plan for plan, trial in zip(plans, trials, strict=True) if trial.holds), None)
        if holding is None:
            break
        best = sizer.one_pool(holding.variant, holding.limits, traffic, count)
        best = sizer.climbed(best, rungs, traffic)
    return replace(best, tried=tried)


def routed(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic) -> SizedPlan:
    """Try the other routers that the scenario allows, with the slots at hand and with those of a share.

    With adapters kept on replicas of their own a replica serves a share of them, so that it may do with as
    many slots as that share is large.
    """
    best, tried = sized, sized.tried
    rungs = sizer.rungs(sized.plan.variant, traffic)
    for router in sizer.question.scenario.search.routers:
        count = _wanted(best)
        if router == sized.plan.variant.router or count < 2 or len(traffic.adapters) < 2:
            continue
        variant = replace(sized.plan.variant, router=router)
        share = next((r for r in rungs if r.max_loras * count >= len(traffic.adapters)), rungs[-1])
        for limits in dict.fromkeys((best.plan.limits, share)):
            tried += 1
            trial = sizer.runner.run(Plan(variant, limits, (count,)), (traffic,), sizer.duration_s)
            if trial.holds:
                best = sizer.climbed(sizer.one_pool(variant, limits, traffic, count), rungs, traffic)
                break
    return replace(best, tried=tried)


def tightened(sizer: Sizer, sized: SizedPlan, traffic: PoolTraffic) -> SizedPlan:
    """Try smaller budgets and fewer seats: do they save a replica, or meet a limit that was not met?"""
    best, tried = sized, sized.tried
    for limits in tighter(sizer.question, sized.plan.limits):
        tried += 1
        count = _wanted(best)
        if count < 1:
            break
        plan = Plan(sized.plan.variant, limits, (count,))
        trial = sizer.runner.run(plan, (traffic,), sizer.duration_s)
        if trial.holds:
            best = sizer.one_pool(sized.plan.variant, limits, traffic, count)
    return replace(best, tried=tried)


def _wanted(best: SizedPlan) -> int:
    """The replicas with which a change of knobs would be a gain."""
    return best.plan.replicas[0] - (1 if best.trial.holds else 0)
