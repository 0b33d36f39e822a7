"""Seconds of a decode step by batch size, without and with drafts, and the draft length that suits each.

Batch B yields B τ(γ) tokens in a step of B (γ + 1) tokens; the length that yields most tokens a second is
best. Prompts, which take their share of steps either way, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advisor.deployment import Variant
from advisor.search.estimate import distinct
from advisor.search.knobs import start_limits, with_slots
from advisor.search.question import Question
from advisor.spec.engine import EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.steptime.batch import Batch

_LARGEST_EXPONENT = 10
_GAIN = 1.01
"""Longer drafts must yield this much more, so that a schedule does not follow the noise of a table."""

Schedule = tuple[tuple[int, int], ...]


def limits_for(question: Question, variant: Variant) -> EngineLimits:
    """Limits to look at steps with, before the search has set the slots."""
    limits = start_limits(question, variant)
    if variant.way != "multi-lora":
        return limits
    return with_slots(question, variant, limits, slots_for(question))


def slots_for(question: Question) -> int:
    """Slots that are reckoned with, before the search has set them."""
    return question.scenario.engine.max_loras or min(len(question.adapters), 16)


def active_adapters(question: Question, variant: Variant, batches: Sequence[int]) -> tuple[int, ...]:
    """Distinct adapters expected in each batch, at most the slots; none in merged or base weights."""
    if variant.way != "multi-lora":
        return (0,) * len(batches)
    adapter = question.whole.adapter
    shares = np.bincount(adapter[adapter >= 0], minlength=len(question.adapters)) / max(len(adapter), 1)
    slots = slots_for(question)
    return tuple(max(1, min(round(distinct(shares, batch)), slots)) for batch in batches)


def acceptance_of(variant: Variant) -> Acceptance:
    """Acceptance of what a variant serves: adapters, or the base where it serves nothing else."""
    assert variant.drafting is not None
    return variant.drafting.base if variant.way == "base" else variant.drafting.mean_adapter


def steps_s(
    question: Question, variant: Variant, batches: Sequence[int], active: Sequence[int], drafted: int
) -> tuple[float, ...]:
    """Seconds of a step of each batch, with so many drafts a sequence, at the workload's mean context."""
    trace = question.trial
    context = float(trace.prompt_tokens.mean() + trace.output_tokens.mean() / 2)
    clock = variant.clock(limits_for(question, variant))
    return tuple(
        clock.parts(Batch(batch, round(batch * context), (), batch * (drafted + 1), drafted, adapters)).total
        for batch, adapters in zip(batches, active, strict=True)
    )


def pays_up_to(question: Question, variant: Variant) -> tuple[int, int]:
    """The largest power of two of requests at which drafts of the variant's length pay, and the next one.

    The first is 0 where they pay at none, the second 0 where they pay at every batch that the engine allows.
    """
    drafting = variant.drafting
    assert drafting is not None
    batches = _batches(question, variant, drafting.draft_length)
    active = active_adapters(question, variant, batches)
    plain = steps_s(question, variant, batches, active, 0)
    verify = steps_s(question, variant, batches, active, drafting.draft_length)
    tokens = acceptance_of(variant).tokens_per_step(drafting.draft_length)
    pays = [tokens > v / p for v, p in zip(verify, plain, strict=True)]
    last = max((i for i, yes in enumerate(pays) if yes), default=-1)
    return (batches[last] if last >= 0 else 0), (batches[last + 1] if last + 1 < len(batches) else 0)


def _batches(question: Question, variant: Variant, drafted: int) -> list[int]:
    """Powers of two that seats and token budget allow with so many drafts."""
    limits = limits_for(question, variant)
    most = min(limits.max_num_seqs, limits.max_num_batched_tokens // (drafted + 1))
    return [2**exponent for exponent in range(_LARGEST_EXPONENT + 1) if 2**exponent <= most]


def schedule_of(question: Question, variant: Variant, lengths: Sequence[int]) -> Schedule:
    """The best draft length from each power of two of requests on, in the form of `SpecSetup.schedule`.

    Args:
        question: its trial's mean context and its adapters' popularity count.
        variant: with a drafting; its terms count.
        lengths: that may be taken, beside none at all.
    """
    batches = _batches(question, variant, max(lengths))
    active = active_adapters(question, variant, batches)
    accepted = acceptance_of(variant)
    best = [0] * len(batches)
    rates = [1.0 / step for step in steps_s(question, variant, batches, active, 0)]
    for length in sorted(set(lengths)):
        tokens = accepted.tokens_per_step(length)
        for i, step in enumerate(steps_s(question, variant, batches, active, length)):
            if tokens / step > _GAIN * rates[i]:
                best[i], rates[i] = length, tokens / step
    best = np.maximum.accumulate(best[::-1])[::-1].tolist()  # captured graphs come in sizes: not up and down
    return tuple(
        (batch, length)
        for i, (batch, length) in enumerate(zip(batches, best, strict=True))
        if i == 0 or length != best[i - 1]
    )
