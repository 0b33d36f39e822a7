"""Tokens from a provider as options: what it does not sell is refused, what it sells is simulated.

Nobody outside knows a provider's machines, so all latency here is an assumption, and is labelled so. The
price is that of our tokens alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from advisor.bought import Bought
from advisor.catalog.hardware import device
from advisor.catalog.prices import token_prices
from advisor.catalog.tables import NotInCatalogError
from advisor.deployment import Variant, Way
from advisor.errors import InputError
from advisor.outcome import checks_of, outcome_of
from advisor.search.autoscaled import keeps_up
from advisor.search.candidates import refused_option
from advisor.search.found import Entry
from advisor.search.knobs import padded_rank, start_limits
from advisor.search.options import breach
from advisor.search.pools import SizedPlan, longest_request
from advisor.search.question import Offer, Question, busiest_stretch, facts_of, shipped
from advisor.search.shared import Shared, capacity_rps
from advisor.search.shared import with_others as shared_with
from advisor.search.tokens import adapters_at, request_usd
from advisor.search.trial import Plan, Trial, traffic_of
from advisor.sim.result import SimResult
from advisor.sim.setup import FleetSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.price import TokenPrice
from advisor.spec.serverless import Serverless
from advisor.steptime.terms import terms_for

_SECONDS_PER_HOUR: Final = 3600.0
_FILLED: Final = 0.85
_RUNS: Final = 3  # with the others, without them, and without cold starts


def serverless(question: Question) -> tuple[list[Entry], int]:
    """One entry a provider, none where the scenario does not ask for them; simulations.

    Raises:
        InputError: the stand-in has no profile, or the model with these adapters does not fit on it.
    """
    wish = question.scenario.serverless
    if wish is None:
        return [], 0
    prices = _prices(question, wish)
    offer = _stand_in(question, wish)
    refused = [_refused(question, price, offer) for price in prices if not _sells(question, price)]
    offered = [price for price in prices if _sells(question, price)]
    if not offered:
        return refused, 0
    tried = _tried(question, wish, offer)
    return [*refused, *(_simulated(question, price, offer, tried) for price in offered)], _RUNS


@dataclass(frozen=True, slots=True)
class _Tried:
    """The stand-in, and what our requests met on it."""

    variant: Variant
    limits: EngineLimits
    shared: Shared
    replicas: int
    trial: Trial
    warm: SimResult  # the same requests with nobody else there, and no cold starts
    alone: SimResult  # with nobody else there


def _prices(question: Question, wish: Serverless) -> tuple[TokenPrice, ...]:
    """The user's own provider first, then the catalog's for this model."""
    known = token_prices(question.model)
    if wish.price is None:
        return known
    own = TokenPrice(
        provider="own",
        model=question.model.name,
        usd_per_mtok_input=wish.price,
        usd_per_mtok_output=wish.price,
        lora="serves your adapters, as you say",
        source="serverless.price in the scenario",
        date="given by the user",
    )
    return (own, *known)


def _sells(question: Question, price: TokenPrice) -> bool:
    return bool(price.lora) or not question.adapters.names


def _stand_in(question: Question, wish: Serverless) -> Offer:
    """The stand-in's profile, of the scenario's engine; nothing is rented, so it has no price."""
    try:
        name = device(wish.stand_in).name
    except NotInCatalogError:
        name = wish.stand_in
    given = [offer.profile for offer in question.offers]
    fit = [p for p in (*given, *shipped()) if p.device.name == name and p.engine == question.engine.name]
    if not fit:
        raise InputError(
            f"serverless.stand_in is {wish.stand_in!r}; allowed: a device with a profile of "
            f"{question.engine.name}, such as H100-80-SXM."
        )
    return Offer(fit[0], None)


def _way(question: Question) -> Way:
    return "multi-lora" if question.adapters.names else "base"


def _tried(question: Question, wish: Serverless, offer: Offer) -> _Tried:
    """Run the whole traffic on the stand-in beside the others'."""
    profile, terms = offer.profile, terms_for(offer.profile, question.model, 1)
    if not question.adapters.names:  # then the others' adapters are left out as well
        wish = wish.model_copy(update={"other_adapters": 0})
    elif terms.lora is None:
        raise InputError(
            f"serverless.stand_in is {wish.stand_in!r}; allowed: a device whose profile has a LoRA term for "
            f"{question.model.name}, such as H100-80-SXM."
        )
    adapters = len(question.whole.adapters) + wish.other_adapters
    variant = Variant(
        _way(question),
        profile,
        terms,
        None,
        question.engine.memory_share,
        question.adapters.target_modules,
    )
    limits = start_limits(question, variant)
    if adapters:
        rank = padded_rank(question)
        slots = {"max_loras": adapters, "max_cpu_loras": adapters, "max_lora_rank": rank}
        limits = limits.model_copy(update=slots)
    (traffic,) = traffic_of(_way(question), question.whole, question.adapters.names)
    if variant.memory(limits).kv_tokens < longest_request(traffic, variant):
        raise InputError(
            f"serverless.stand_in is {wish.stand_in!r}; allowed: a device on which {question.model.name} "
            f"with {adapters} adapters and its longest request fit. Take a larger one or fewer others."
        )
    setup = variant.replica(limits, (*question.ranks, *(limits.max_lora_rank,) * wish.other_adapters))
    each = capacity_rps(variant, setup, limits, question.trial, adapters)
    replicas = wish.replicas or _enough(question, wish, each)
    seed, fleet = question.scenario.seed, FleetSetup(setup, replicas)
    shared = shared_with(fleet, traffic.trace, wish, wish.others * replicas * each, seed)
    alone = shared_with(fleet, traffic.trace, wish, 0.0, seed).result
    at_once = wish.model_copy(update={"cold_start": 0.0})
    warm = shared_with(fleet, traffic.trace, at_once, 0.0, seed).result
    objective, duration_s = question.scenario.objective, max(question.whole.duration_s, 1e-9)
    outcome = outcome_of([shared.result], objective, duration_s, replicas, every=True)
    checks = checks_of(outcome, [shared.result], objective, duration_s, every=True)
    trial = Trial((shared.result,), outcome, checks, keeps_up(shared.result))
    return _Tried(variant, limits, shared, replicas, trial, warm, alone)


def _enough(question: Question, wish: Serverless, each_rps: float) -> int:
    """Replicas that the others' share and our peak fill to 85 %: a provider keeps enough of them."""
    peak_rps = busiest_stretch(question.whole, question.scenario.search.requests).rate_rps
    return max(1, math.ceil(peak_rps / ((_FILLED - wish.others) * max(each_rps, 1e-9))))


def _refused(question: Question, price: TokenPrice, offer: Offer) -> Entry:
    reason = f"not offered: {adapters_at(price)}. Source: {price.source}, {price.date}"
    key = f"serverless/{price.provider}"
    option = refused_option(question, offer, _way(question), 1, key, reason, "compatibility")
    option = option.model_copy(
        update={"bought": _bought(question, price, offer, None), "is_reference": False}
    )
    return Entry(option, offer, None)


def _simulated(question: Question, price: TokenPrice, offer: Offer, tried: _Tried) -> Entry:
    """The stand-in's outcome at the provider's price."""
    facts = facts_of(question)
    each = request_usd(facts.prompt_tokens_mean, facts.output_tokens_mean, price)
    hourly = each * facts.rate_rps * _SECONDS_PER_HOUR
    tokens = facts.prompt_tokens_mean + facts.output_tokens_mean
    budget = question.scenario.objective.budget
    reason = bound = ""
    if not tried.trial.holds:
        reason, bound = f"{breach(tried.trial)} on the stand-in", "slo"
    elif budget is not None and hourly > budget:
        reason, bound = f"costs {hourly:.2f} USD/h; the budget is {budget:.2f}", "budget"
    option = refused_option(
        question, offer, _way(question), 1, f"serverless/{price.provider}", reason, bound
    ).model_copy(
        update={
            "feasible": not bound,
            "price_source": f"{price.source}, {price.date}",
            "usd_per_hour": hourly,
            "usd_per_mtok": each / tokens * 1e6,
            "usd_per_mtok_output": each / facts.output_tokens_mean * 1e6,
            "outcome": tried.trial.outcome,
            "checks": tried.trial.checks,
            "bought": (bought := _bought(question, price, offer, tried)),
            "warnings": (bought.assumption,),
            "is_reference": False,
        }
    )
    plan = Plan(tried.variant, tried.limits, (bought.replicas,))
    return Entry(option, offer, SizedPlan(plan, tried.trial, False, 1))


def _bought(question: Question, price: TokenPrice, offer: Offer, tried: _Tried | None) -> Bought:
    wish = question.scenario.serverless
    assert wish is not None  # `serverless` asks for no other
    profile = offer.profile
    stand_in = f"{profile.device.name} with {profile.engine} {profile.engine_version}"
    shared, replicas = (None, 0) if tried is None else (tried.shared, tried.replicas)
    others = 0.0 if shared is None else shared.others_rps
    count = "1 replica" if replicas == 1 else f"{replicas} replicas"
    assumption = (
        f"estimate: no provider latency is known; from {count} of {stand_in} whose other tenants send "
        f"{others:.2g} requests/s ({wish.others:.0%} of what they can do), an adapter is unloaded after "
        f"{wish.unload_after:.0f} idle seconds and back after {wish.cold_start:.0f} s"
    )
    return Bought(
        provider=price.provider,
        usd_per_mtok_input=price.usd_per_mtok_input,
        usd_per_mtok_output=price.usd_per_mtok_output,
        adapters=adapters_at(price) if question.adapters.names else "",
        stand_in=stand_in,
        replicas=replicas,
        others_rps=others,
        cold_start_s=wish.cold_start,
        cold_starts=0 if shared is None else shared.cold_starts,
        cold_share=0.0 if shared is None else shared.cold_share,
        ttft_parts_s={} if tried is None else _parts(tried, "ttft_s"),
        tpot_parts_s={} if tried is None else _parts(tried, "tpot_s"),
        assumption="" if tried is None else assumption,
    )


def _parts(tried: _Tried, metric: Literal["ttft_s", "tpot_s"]) -> dict[str, float]:
    """A mean by counterfactual: nobody else there, and every adapter warm; each cause is a difference."""
    runs = (tried.warm, tried.alone, tried.shared.result)
    warm, alone, all_of_it = (float(np.nanmean(getattr(run, metric)[run.done])) for run in runs)
    return {"alone, warm": warm, "cold starts": alone - warm, "other tenants": all_of_it - alone}
