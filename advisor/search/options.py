"""A sized plan in the words of the answer."""

from __future__ import annotations

import math

from advisor.cost import cost_of
from advisor.recommendation import Option, Pool
from advisor.search.candidates import spec_choice
from advisor.search.origins import origin_of, terms_of
from advisor.search.pools import SizedPlan
from advisor.search.question import Offer, Question, facts_of
from advisor.search.trial import PoolTraffic, Trial
from advisor.sim.setup import Router
from advisor.spec.quantities import told_apart


def _tokens_per_s(question: Question, trial: Trial) -> tuple[float, float]:
    """All tokens and output tokens a second: those asked for where all are served, else what came out.

    A trial ends later than its last request arrives, and serves that much less a second than it is asked for.
    """
    if not trial.steady:
        return trial.outcome.total_tokens_per_s, trial.outcome.output_tokens_per_s
    facts = facts_of(question)
    output = facts.rate_rps * facts.output_tokens_mean
    return output + facts.rate_rps * facts.prompt_tokens_mean, output


def option_of(
    question: Question,
    sized: SizedPlan,
    offer: Offer,
    traffic: tuple[PoolTraffic, ...],
    warnings: tuple[str, ...],
) -> Option:
    """Put a sized plan into the words of the answer."""
    variant = sized.plan.variant
    plan, trial = sized.plan, sized.trial
    degree, price = variant.terms.tensor_parallel, offer.price
    cost = None
    if price is not None:
        cost = cost_of(
            plan.devices,
            price.usd_per_hour,
            *_tokens_per_s(question, trial),
            beside_usd_per_hour=variant.training_usd_per_hour,
        )
    reason, bound = _reason(question, sized, None if cost is None else cost.usd_per_hour)
    terms = terms_of(variant, trial.outcome)
    return Option(
        key=variant.key,
        way=variant.way,
        device=variant.profile.device.name,
        profile=variant.profile.name,
        engine=variant.profile.engine,
        engine_version=variant.profile.engine_version,
        tensor_parallel=degree,
        quantised=variant.quantised,
        speculation=spec_choice(variant.drafting),
        limits=plan.limits,
        router=variant.router,
        memory_share=variant.memory_share,
        feasible=not bound,
        reason=reason,
        bound=bound,  # type: ignore[arg-type]  # one of the literals by construction
        pools=_pools(plan.replicas, degree, traffic),
        replicas=sum(plan.replicas),
        devices=plan.devices,
        usd_per_device_hour=None if price is None else price.usd_per_hour,
        price_source="" if price is None else f"{price.provider}, {price.date}",
        usd_per_hour=None if cost is None else cost.usd_per_hour,
        usd_per_mtok=None if cost is None else cost.usd_per_mtok,
        usd_per_mtok_output=None if cost is None else cost.usd_per_mtok_output,
        outcome=trial.outcome,
        checks=trial.checks,
        memory=variant.memory(plan.limits),
        warnings=(*warnings, *_routing(plan.variant.router, plan.replicas)),
        origin=origin_of(terms),
        is_reference=variant.way == "base" and bool(question.adapters.names),
    )


def _pools(replicas: tuple[int, ...], degree: int, traffic: tuple[PoolTraffic, ...]) -> tuple[Pool, ...]:
    return tuple(
        Pool(
            name=p.name,
            adapters=p.adapters,
            replicas=count,
            devices=count * degree,
            share_of_requests=p.share,
            merged=p.fine_tuned,
        )
        for p, count in zip(traffic, replicas, strict=True)
    )


def _routing(router: Router, replicas: tuple[int, ...]) -> tuple[str, ...]:
    """What the router must be able to do, where it is not one that any load balancer is."""
    if router != "adapter-affinity" or max(replicas) < 2:
        return ()
    return (
        "Counts on a router that keeps each adapter on one replica (adapter-affinity); see search.routers.",
    )


def _reason(question: Question, sized: SizedPlan, usd_per_hour: float | None) -> tuple[str, str]:
    budget = question.scenario.objective.budget
    if sized.floor:
        return sized.floor, "slo"
    if not sized.trial.holds:
        at = "" if usd_per_hour is None else f" ({usd_per_hour:.2f} USD/h)"
        on = (
            "; more replicas do not help"
            if sized.stagnant
            else f" on {sum(sized.plan.replicas)} replicas{at}"
        )
        return breach(sized.trial) + on, "slo" if sized.stagnant else "replicas"
    if usd_per_hour is None:
        return "no price is known for this device; give your own under prices.own", "price"
    if budget is not None and usd_per_hour > budget:
        return f"costs {usd_per_hour:.2f} USD/h; the budget is {budget:.2f}", "budget"
    return "", ""


def breach(trial: Trial) -> str:
    """The limit that is missed by most."""
    broken = [check for check in trial.checks if not check.holds]
    if not broken:
        return "queues grow without end"
    check = max(broken, key=lambda c: c.value / c.limit)
    if check.metric == "goodput":
        return f"{check.value:.1%} of requests meet every limit, {check.limit:.1%} are asked,"
    value, limit = told_apart(check.value * 1e3, check.limit * 1e3)
    if math.isinf(check.value):
        return f"requests without an answer break {check.metric.upper()} p{check.percentile:g} ({limit} ms)"
    return f"{check.metric.upper()} p{check.percentile:g} is {value} ms, the limit is {limit} ms"
