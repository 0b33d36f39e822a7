"""One deployment of the user's choice: looked up, sized where asked, and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.deployment import Choice, Variant
from advisor.errors import InfeasibleError, InputError, validated
from advisor.profile import Profile
from advisor.recommendation import BY_BATCH, Option
from advisor.search.candidates import memory_reason, variants
from advisor.search.found import Entry
from advisor.search.knobs import start_limits, with_slots
from advisor.search.options import option_of
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Offer, Question, resolve
from advisor.search.trial import Plan, PoolTraffic, Runner, by_popularity, traffic_for
from advisor.spec.engine import EngineLimits, EngineWish
from advisor.spec.scenario import Scenario
from advisor.spec.speculation import Draft


def set_up(
    scenario: Scenario, choice: Choice, profiles: Sequence[Profile] | None, folder: Path
) -> tuple[Question, Runner, Entry, tuple[PoolTraffic, ...]]:
    """Set up, size (where asked) and run the deployment of a choice on the whole trace.

    Returns:
        The question narrowed to the choice, the runner, the sized deployment, and each pool's requests.

    Raises:
        InputError: a bad name, file or knob, or a choice that cannot run (the sentence says why).
        InfeasibleError: weights, slots and KV cache of the choice do not fit the device.
    """
    question = resolve(_narrowed(scenario, choice), profiles, folder)
    question = replace(question, trial=question.whole)
    variant, offer, warnings = _variant(question, choice)
    runner = Runner(scenario.objective, question.ranks, scenario.seed)
    duration_s = max(question.trial.duration_s, 1e-9)
    sizer = Sizer(question, runner, duration_s)
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    reason = memory_reason(question, variant, traffic[0])
    if reason is not None:
        raise InfeasibleError(
            f"{variant.key}: {reason}. Choose a larger device, more tensor parallelism or fewer slots."
        )
    sized = _run(sizer, choice, variant, traffic)
    option = option_of(question, sized, offer, traffic, warnings)
    return question, runner, Entry(option, offer, sized, warnings), traffic


def _narrowed(scenario: Scenario, choice: Choice) -> Scenario:
    """The scenario with everything that the choice fixes."""
    knobs = {
        name: getattr(choice, name)
        for name in ("max_loras", "max_cpu_loras", "max_num_seqs", "max_num_batched_tokens")
        if getattr(choice, name) is not None
    }
    engine = validated(EngineWish, scenario.engine.model_dump() | knobs, "engine with the deployment's knobs")
    drafts = tuple(d for d in scenario.speculation.drafts if d.method == choice.draft)
    if choice.draft != "none" and not drafts:
        drafts = (Draft(method=choice.draft),)
    speculation = scenario.speculation.model_copy(
        update={"drafts": drafts, "draft_lengths": (choice.draft_length,), "by_batch": choice.by_batch}
    )
    search_ = scenario.search.model_copy(
        update={
            "ways": (choice.way,),
            "tensor_parallel": (choice.tensor_parallel,),
            "routers": (choice.router,),
            "also_fp8": choice.fp8,
        }
    )
    return scenario.model_copy(
        update={"engine": engine, "speculation": speculation, "search": search_, "devices": (choice.device,)}
    )


def _variant(question: Question, choice: Choice) -> tuple[Variant, Offer, tuple[str, ...]]:
    for item in variants(question):
        if isinstance(item, Option):
            if item.quantised != choice.fp8:
                continue
            if choice.draft == "none" or not item.key.endswith("/plain"):
                raise InfeasibleError(f"{item.key}: {item.reason}.")
        elif _is_drafted_so(item[0], choice):
            variant = replace(item[0], router=choice.router, hottest=_hottest(question, choice))
            return variant, question.offers[0], item[1]
    if choice.by_batch:
        raise InfeasibleError(
            f"by_batch is true, and with {choice.draft} one length suits every batch, or the engine cannot "
            "change it. Leave by_batch out."
        )
    raise InputError(
        f"way is {choice.way}; allowed: base; multi-lora, merged and hybrid where there are adapters."
    )


def _is_drafted_so(variant: Variant, choice: Choice) -> bool:
    if variant.quantised != choice.fp8:
        return False
    if variant.drafting is None or choice.draft == "none":
        return variant.drafting is None and choice.draft == "none"
    return variant.drafting.name.endswith(BY_BATCH) == choice.by_batch


def _hottest(question: Question, choice: Choice) -> tuple[int, ...]:
    """The adapters that a choice merges beside a pool of the others."""
    if choice.way != "hybrid":
        if choice.hottest is not None:
            raise InputError(f"hottest is {choice.hottest}; allowed: left out, unless the way is hybrid.")
        return ()
    order, wanted = by_popularity(question.whole), choice.hottest or 1
    if wanted >= len(question.whole.adapters) or wanted > len(order):
        most = min(len(order), len(question.whole.adapters) - 1)
        raise InputError(
            f"hottest is {wanted}; allowed: 1 to {most}, fewer than the adapters that are asked for. "
            "To merge all of them, the way is merged."
        )
    return order[:wanted]


def _run(sizer: Sizer, choice: Choice, variant: Variant, traffic: tuple[PoolTraffic, ...]) -> SizedPlan:
    if choice.replicas is None:
        if variant.has_pools:
            plan = sizer.screened(variant, traffic).plan
            if variant.way == "hybrid":
                plan = sizer.multi_lora(variant, traffic[-1]).plan
            return sizer.several(variant, plan.limits, traffic)
        if choice.way == "multi-lora":
            return sizer.multi_lora(variant, traffic[0])
        return sizer.one_pool(variant, start_limits(sizer.question, variant), traffic[0])
    limits: EngineLimits = start_limits(sizer.question, variant)
    if choice.way in ("multi-lora", "hybrid"):
        slots = choice.max_loras or max(len(traffic[-1].adapters), 1)
        limits = with_slots(sizer.question, variant, limits, slots)
    plan = Plan(variant, limits, (choice.replicas,) * len(traffic))
    return SizedPlan(plan, sizer.runner.run(plan, traffic, sizer.duration_s), False, 1)
