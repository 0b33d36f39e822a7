"""Every way to serve on every device allowed: variants that may run, options refused with their reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from advisor.catalog.compatibility import Verdict, check
from advisor.catalog.rounding import rounding_words
from advisor.deployment import Drafting, OwnAcceptance, Variant, Way
from advisor.errors import InputError
from advisor.profile import Profile
from advisor.recommendation import BY_BATCH, Option, SpecChoice
from advisor.search.batchsteps import Schedule, schedule_of
from advisor.search.knobs import start_limits, with_slots
from advisor.search.pools import longest_request
from advisor.search.question import Offer, Question
from advisor.search.trial import PoolTraffic
from advisor.spec.adapterset import AdapterSet
from advisor.spec.spec import Origin, WeightsDtype, worst
from advisor.spec.speculation import Draft
from advisor.speculate import drafting_of
from advisor.steptime.terms import terms_for

QUANTISED = (
    "The engine quantises the weights to fp8 at its start, which changes answers a little; adapters were "
    "trained on the 16-bit ones. Evaluate before you ship."
)
NO_ADAPTERS = AdapterSet((), (), ())


@dataclass(frozen=True, slots=True)
class Wish:
    """A draft of the scenario at one length, under a name of its own."""

    draft: Draft
    name: str
    length: int
    lengths: tuple[int, ...] = ()  # of a schedule by batch size


def variants(question: Question) -> Iterator[tuple[Variant, tuple[str, ...]] | Option]:
    """Yield each variant with its warnings, or the infeasible option that stands in its place."""
    scenario = question.scenario
    ways: tuple[Way, ...] = scenario.search.ways if question.adapters.names else ("base",)
    named = tuple(zip(draft_names(scenario.speculation.drafts), scenario.speculation.drafts, strict=True))
    lengths = scenario.speculation.draft_lengths
    drafts: tuple[Wish | None, ...] = (
        None,
        *(Wish(draft, name, length) for name, draft in named for length in lengths),
    )
    if scenario.speculation.by_batch:
        drafts += tuple(
            Wish(draft, f"{name}{BY_BATCH}", max(lengths), lengths)
            for name, draft in named
            if (known := question.engine.method(draft.method)) is not None and known.by_batch
        )
    for offer in question.offers:
        for degree in scenario.search.tensor_parallel:
            for asked, way, draft in product(_by_weights(question), ways, drafts):
                found = _variant(asked, offer, degree, way, draft, quantised=asked is not question)
                if draft is None or isinstance(found, Option):
                    yield found
                elif (scheduled := _scheduled(asked, found, draft)) is not None:
                    yield scheduled


def _by_weights(question: Question) -> tuple[Question, ...]:
    """The question, and where it is allowed the same with 16-bit weights quantised to fp8."""
    model = question.model
    if not question.scenario.search.also_fp8 or model.weights_dtype is not WeightsDtype.BFLOAT16:
        return (question,)
    fp8 = {"name": f"{model.name}-FP8", "weights_dtype": WeightsDtype.FP8}
    return question, replace(question, model=model.model_copy(update=fp8))


def draft_names(drafts: Sequence[Draft]) -> tuple[str, ...]:
    """One name a draft: its method, whether it is custom, and a number where that is still not unique."""
    names: list[str] = []
    for draft in drafts:
        name = f"{draft.method}-custom" if draft.custom else draft.method
        seen = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{seen + 1}" if seen else name)
    return tuple(names)


def _variant(
    question: Question, offer: Offer, degree: int, way: Way, draft: Wish | None, *, quantised: bool
) -> tuple[Variant, tuple[str, ...]] | Option:
    profile = offer.profile
    method = None if draft is None else draft.draft.method
    drafted = "plain" if draft is None else f"{draft.name}x{draft.length}"
    name = f"{way}/{profile.device.name}/tp{degree}{'-fp8' * quantised}/{drafted}"

    def refused(reason: str, bound: str) -> Option:
        option = refused_option(question, offer, way, degree, name, reason, bound)
        return option.model_copy(update={"quantised": quantised})

    if degree > profile.device.max_tensor_parallel:
        return refused(
            f"at most {profile.device.max_tensor_parallel} devices of this kind work together", "profile"
        )
    try:
        terms = terms_for(profile, question.model, degree)
    except InputError as error:
        return refused(str(error), "profile")
    if way in ("multi-lora", "hybrid") and terms.lora is None:
        return refused("the profile has no LoRA term for this model", "profile")
    drafting: Drafting | None = None
    if draft is not None:
        drafting = drafting_of(draft.draft, terms, draft.length)
        if drafting is None:
            return refused(f"the profile has no cost of drafting by {method} for this model", "profile")
        own = own_acceptances(question, draft.draft)
        origin = worst(drafting.origin, *(one.acceptance.origin for one in own))
        drafting = replace(drafting, name=draft.name, own=own, origin=origin)
    served = question.adapters if way != "base" else NO_ADAPTERS
    forms = {"merged": (True,), "hybrid": (False, True)}.get(way, (False,))
    said = [check(question.engine, served, question.model, method, merged=merged) for merged in forms]
    verdicts = tuple(dict.fromkeys(verdict for found in said for verdict in found))
    for verdict in verdicts:
        if verdict.refuses:
            return refused(f"{verdict.sentence} Source: {verdict.source}.", "compatibility")
    if method is not None:
        profile = _serial_if_needed(question, profile, method)
    profile = profile.model_copy(update={"models": (terms,), "gemm": ()})  # light enough to be sent about
    share = question.scenario.engine.memory_share or question.engine.memory_share
    modules, router = question.adapters.target_modules, question.scenario.search.routers[0]
    variant = Variant(way, profile, terms, drafting, share, modules, router, quantised=quantised)
    return variant, _warnings(question, variant, verdicts)


def _warnings(question: Question, variant: Variant, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """What the rules say about it, and what becomes of the weights."""
    found = tuple(verdict.sentence for verdict in verdicts)
    if variant.quantised:
        found += (QUANTISED,)
    if variant.has_pools:
        found += (rounding_words(question.model.weights_dtype, question.adapters.merge_checks),)
    return found


def _scheduled(
    question: Question, found: tuple[Variant, tuple[str, ...]], draft: Wish
) -> tuple[Variant, tuple[str, ...]] | None:
    """The variant with draft lengths by batch size: those that suit it best, or the engine's own bound.

    None where one length suits every batch: that one has a variant of its own.
    """
    variant, warnings = found
    known, drafting = question.engine.method(draft.draft.method), variant.drafting
    assert drafting is not None
    schedule: Schedule = ()
    if draft.lengths:
        drafting = replace(drafting, schedule=((1, draft.length),))  # its clock is that of a schedule
        schedule = schedule_of(question, replace(variant, drafting=drafting), draft.lengths)
        if len(schedule) == 1:
            return None
    elif known is not None and known.max_batch is not None:
        schedule = (1, draft.length), (known.max_batch + 1, 0)
    return replace(variant, drafting=replace(drafting, schedule=schedule)), warnings


def own_acceptances(question: Question, draft: Draft) -> tuple[OwnAcceptance, ...]:
    """What was measured for single adapters, with their place and share in the trace.

    Raises:
        InputError: an adapter of that name is not deployed.
    """
    if not draft.acceptance_by_adapter:
        return ()
    trace, names = question.whole, question.adapters.names
    unknown = sorted(set(draft.acceptance_by_adapter) - set(names))
    if unknown:
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(
            f"speculation.drafts: acceptance_by_adapter names {unknown[0]!r:.80}; allowed: the adapters "
            f"({few or 'there are none'}). Write the name as the adapter's."
        )
    places = {name: index for index, name in enumerate(trace.adapters)}
    counts = np.bincount(trace.adapter[trace.adapter >= 0], minlength=len(trace.adapters))
    total = max(int(counts.sum()), 1)
    return tuple(
        OwnAcceptance(name, places[name], float(counts[places[name]]) / total, acceptance)
        for name, acceptance in draft.acceptance_by_adapter.items()
        if name in places
    )


def _serial_if_needed(question: Question, profile: Profile, method: str) -> Profile:
    """Drafting on the CPU makes some engines schedule between steps again."""
    known = question.engine.method(method)
    if known is None or known.keeps_async_scheduling or not profile.host.overlapped:
        return profile
    return profile.model_copy(update={"host": profile.host.model_copy(update={"overlapped": False})})


def memory_reason(question: Question, variant: Variant, traffic: PoolTraffic) -> str | None:
    """Why the model (with one slot where it needs slots) does not fit, or None."""
    limits = start_limits(question, variant)
    if variant.way in ("multi-lora", "hybrid"):
        limits = with_slots(question, variant, limits, 1)
    plan, longest = variant.memory(limits), longest_request(traffic, variant)
    if plan.kv_tokens >= longest:
        return None
    gib = 2.0**30
    return (
        f"weights of {plan.weights_bytes / gib:.1f} GiB leave room for {plan.kv_tokens:,} KV tokens in "
        f"{plan.usable_bytes / gib:.1f} GiB; the longest request needs {longest:,}"
    )


def refused_option(
    question: Question, offer: Offer, way: Way, degree: int, name: str, reason: str, bound: str
) -> Option:
    """An infeasible option that was never simulated."""
    price = offer.price
    return Option(
        key=name,
        way=way,
        device=offer.profile.device.name,
        profile=offer.profile.name,
        engine=offer.profile.engine,
        engine_version=offer.profile.engine_version,
        tensor_parallel=degree,
        speculation=None,
        limits=None,
        router="least-outstanding",
        memory_share=question.engine.memory_share,
        feasible=False,
        reason=reason,
        bound=bound,  # type: ignore[arg-type]  # one of the literals by construction
        usd_per_device_hour=None if price is None else price.usd_per_hour,
        price_source="" if price is None else f"{price.provider}, {price.date}",
        origin=Origin.ESTIMATED,
        is_reference=way == "base",
    )


def spec_choice(drafting: Drafting | None) -> SpecChoice | None:
    """Speculation of an option, for the answer."""
    if drafting is None:
        return None
    return SpecChoice(
        method=drafting.term.method,
        name=drafting.name,
        model=drafting.term.model,
        draft_length=drafting.draft_length,
        schedule=drafting.schedule,
        base_tokens_per_step=drafting.base.tokens_per_step(drafting.draft_length),
        adapter_tokens_per_step=drafting.mean_adapter.tokens_per_step(drafting.draft_length),
        origin=drafting.origin,
        training_usd_per_hour=drafting.training_usd_per_hour,
        note=drafting.note,
    )
