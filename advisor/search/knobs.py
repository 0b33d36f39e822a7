"""Engine limits that a search may try on a variant: seats, token budget, slots, CPU cache."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.deployment import Variant
from advisor.search.question import Question
from advisor.spec.engine import EngineLimits
from advisor.spec.model import adapter_bytes

CPU_CACHE_BYTES = 64 * 2.0**30
"""Host memory that a replica may use for its adapter cache, where the user did not set max_cpu_loras."""
_SEATS = (1024, 512, 256, 128, 64, 32, 16)
_BUDGETS = (16384, 8192, 4096, 2048, 1024, 512)
_SLOTS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def start_limits(question: Question, variant: Variant) -> EngineLimits:
    """The engine's defaults on this device, or what the user fixed; LoRA off."""
    wish, engine = question.scenario.engine, question.engine
    seats, budget = engine.default_limits(variant.profile.device)
    gamma = 0 if variant.drafting is None else variant.drafting.draft_length
    budget = wish.max_num_batched_tokens or budget
    return EngineLimits(
        max_num_seqs=min(wish.max_num_seqs or seats, budget // (gamma + 1)),
        max_num_batched_tokens=budget,
        kv_block_tokens=engine.kv_block_tokens,
        prefix_caching=wish.prefix_caching,
        load_mode=engine.load_mode,
        batching=engine.batching,
        async_scheduling=variant.profile.host.overlapped,
    )


def slot_choices(question: Question, variant: Variant) -> tuple[int, ...]:
    """Values of max_loras to try: a geometric ladder up to the unmerged adapters, or the user's own.

    What is in a slot is in host memory too, so a max_cpu_loras of the user's bounds the ladder. An engine
    that computes one adapter a step (llama.cpp) keeps all of them in memory.
    """
    wish = question.scenario.engine
    if wish.max_loras is not None:
        return (wish.max_loras,)
    count = max(len(question.adapters.names) - len(variant.hottest), 1)
    if question.engine.batching == "one_adapter":
        return (count,)
    if wish.max_cpu_loras is not None:
        count = min(count, wish.max_cpu_loras)
    ladder = tuple(slots for slots in _SLOTS if slots < count)
    return (*ladder, count)


def with_slots(question: Question, variant: Variant, limits: EngineLimits, slots: int) -> EngineLimits:
    """Switch LoRA on with this many slots.

    The CPU cache costs only host memory and a larger one is never slower, so it holds all adapters
    if they fit into `CPU_CACHE_BYTES`, else as many as do.
    """
    rank = padded_rank(question)
    count = len(question.adapters.names)
    fits = int(CPU_CACHE_BYTES // adapter_bytes(question.model, variant.modules, rank))
    cache = question.scenario.engine.max_cpu_loras or min(count, max(fits, 1))
    return limits.model_copy(
        update={"max_loras": slots, "max_cpu_loras": max(cache, slots), "max_lora_rank": rank}
    )


def padded_rank(question: Question) -> int:
    """Smallest max_lora_rank that the engine allows for the largest adapter."""
    largest = max(question.adapters.ranks, default=0)
    allowed = [rank for rank in question.engine.lora_ranks if rank >= largest]
    return min(allowed) if allowed else largest


def largest_budget(question: Question, limits: EngineLimits) -> EngineLimits:
    """The same limits with the largest token budget that `neighbours` tries."""
    if question.scenario.engine.max_num_batched_tokens is not None:
        return limits
    own = limits.max_num_batched_tokens
    return limits.model_copy(update={"max_num_batched_tokens": max(own, min(2 * own, _BUDGETS[0]))})


def neighbours(question: Question, limits: EngineLimits) -> Iterator[EngineLimits]:
    """Limits one might try when the current ones need a replica too many.

    Smaller budgets and fewer seats, which shorten steps, and twice the budget, with which prompts take fewer
    of them. (Not more: activations would take memory that no profile knows of.)
    """
    wish = question.scenario.engine
    if wish.max_num_batched_tokens is None:
        for budget in _BUDGETS:
            own = limits.max_num_batched_tokens
            if own // 8 <= budget <= 2 * own and budget != own:
                yield limits.model_copy(
                    update={
                        "max_num_batched_tokens": budget,
                        "max_num_seqs": min(limits.max_num_seqs, budget),
                    }
                )
    if wish.max_num_seqs is None:
        for seats in _SEATS:
            if limits.max_num_seqs // 8 <= seats < limits.max_num_seqs:
                yield limits.model_copy(update={"max_num_seqs": seats})
