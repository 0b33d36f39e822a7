"""Reasons that add up, and point at what was made slow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.catalog.capabilities import engine
from advisor.profile import LoadTerm, LoraTerm
from advisor.search.knobs import slot_choices, start_limits, with_slots
from advisor.search.question import Question
from advisor.search.trial import Plan, Runner
from advisor.spec.spec import Origin
from advisor.why.explain import explain_plan
from tests.profiles import profile, terms
from tests.questions import question
from tests.search.variants import variant_of

MARK: dict[str, Any] = {"origin": Origin.MEASURED, "source": "made up for a test"}


def explained(asked: Question, way: str, slots: int):  # type: ignore[no-untyped-def]
    variant = variant_of(asked, way)
    limits = start_limits(asked, variant)
    if way == "multi-lora":
        limits = with_slots(asked, variant, limits, slots)
    replicas = (2,) if way == "multi-lora" else (1,) * len(asked.adapters)
    runner = Runner(asked.scenario.objective, asked.ranks, 0)
    return explain_plan(asked, runner, Plan(variant, limits, replicas), "key")


@pytest.mark.parametrize("slots", [1, 4, 12])
def test_causes_add_up_to_the_difference_from_the_base(slots: int) -> None:
    answer = explained(question(), "multi-lora", slots)
    for name in ("ttft_mean_s", "tpot_mean_s", "e2e_mean_s"):
        metric = name.split("_")[0]
        deployed, base = (getattr(side, metric).mean_s for side in (answer.deployment, answer.base))
        assert sum(getattr(delta, name) for delta in answer.deltas) == pytest.approx(
            deployed - base, rel=1e-9, abs=1e-12
        )


def test_one_slot_makes_the_admission_wait_the_largest_cause() -> None:
    answer = explained(question(), "multi-lora", 1)
    assert max(answer.deltas, key=lambda d: d.ttft_mean_s).cause == "admission wait"


def test_an_engine_of_one_adapter_a_step_keeps_all_in_memory_and_blames_the_wait_on_it() -> None:
    asked = replace(question(), engine=engine("llama.cpp"))
    assert slot_choices(asked, variant_of(asked, "multi-lora")) == (12,)
    answer = explained(asked, "multi-lora", 12)
    assert max(answer.deltas, key=lambda d: d.ttft_mean_s).cause == "admission wait"
    split = next(d for d in answer.deltas if d.cause == "prefix cache split by adapter")
    assert abs(split.ttft_mean_s) < 1e-9  # no prompts are shared here


def test_slow_loads_are_blamed_on_loading() -> None:
    slow = profile(
        loads=(
            LoadTerm(**MARK, hop="disk_to_cpu", fixed_s=2.0, bandwidth_bytes_per_s=1e9),
            LoadTerm(**MARK, hop="cpu_to_slot", fixed_s=0.5, bandwidth_bytes_per_s=1e9),
        )
    )
    answer = explained(question(slow), "multi-lora", 4)
    without_wait = [delta for delta in answer.deltas if delta.cause != "admission wait"]
    assert max(without_wait, key=lambda d: d.ttft_mean_s).cause == "adapter loading"


def test_slow_kernels_are_blamed_on_lora_in_decode() -> None:
    slow = profile(terms(lora=LoraTerm(**MARK, fixed_s=20e-3)))
    answer = explained(question(slow), "multi-lora", 12)
    assert max(answer.deltas, key=lambda d: d.tpot_mean_s).cause == "LoRA in decode"


def test_merged_weights_have_nothing_to_explain() -> None:
    answer = explained(question(), "merged", 0)
    assert answer.deltas == ()
    assert answer.deployment == answer.base
    assert answer.queueing_ttft_s >= -1e-12
