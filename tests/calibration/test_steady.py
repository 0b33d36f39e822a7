"""The closed loop by algebra, against round numbers and against itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from advisor.catalog.hardware import device
from advisor.catalog.shapes import model
from advisor.profile import (
    Curve,
    DecodeAttention,
    FrontendTerm,
    HostTerm,
    LoadTerm,
    MemoryTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    StartupTerm,
)
from advisor.spec.spec import Origin
from calibration.steady import steady_state

M: dict[str, Any] = {"origin": Origin.MEASURED, "source": "round numbers"}
TERMS = ModelTerms(
    model=model("Llama-3.1-8B"),
    dense=Curve(**M, x=(1.0, 1001.0), y_s=(0.010, 0.020)),  # 10 ms and 10 µs a token beyond the first
    head=Curve(**M, x=(1.0, 2.0), y_s=(0.0, 0.0)),
    attn_prefill=PrefillAttention(**M, new_tokens=(1.0,), context_tokens=(0.0,), seconds=((1e-12,),)),
    attn_decode=DecodeAttention(**M, sequences=(1.0,), fixed_s=(0.0,), per_context_token_s=(1e-7,)),
)
PROFILE = Profile(
    schema_version=1,
    name="round",
    method="import",
    created=datetime(2026, 1, 1, tzinfo=UTC),
    producer="test",
    device=device("L4"),
    engine="vllm",
    engine_version="0",
    models=(TERMS,),
    host=HostTerm(**M, fixed_s=0.001),
    frontend=FrontendTerm(**M, fixed_s=0.005),
    loads=(
        LoadTerm(**M, hop="disk_to_cpu", fixed_s=0.0, bandwidth_bytes_per_s=1e9),
        LoadTerm(**M, hop="cpu_to_slot", fixed_s=0.0, bandwidth_bytes_per_s=1e9),
    ),
    memory=MemoryTerm(**M, overhead_bytes=0.0),
    startup=StartupTerm(**M, base_s=0.0),
)


def test_one_long_answer_is_a_pure_decode_step() -> None:
    """One sequence, context 100 + 5000: 10 + 0.51 + 1 ms; one step in 10000 computes the prompt."""
    steady = steady_state(PROFILE, TERMS, concurrency=1, prompt_tokens=100, output_tokens=10000)
    assert steady.tpot_s == pytest.approx(0.01151 + 1e-4 * 0.001, rel=1e-6)


def test_a_share_of_the_steps_computes_prompts() -> None:
    """10 of 100 steps hold a chunk of 200 tokens, which adds 2 ms."""
    pure = 0.010 + 9e-5 + 0.001 + 1e-7 * 10 * (200 + 50)
    steady = steady_state(PROFILE, TERMS, concurrency=10, prompt_tokens=200, output_tokens=100)
    assert steady.tpot_s == pytest.approx(pure + 0.1 * 0.002, rel=1e-3)
    assert steady.ttft_s == pytest.approx(0.005 + 0.5 * steady.tpot_s + pure + 0.002, rel=1e-3)


def test_a_prompt_beyond_the_budget_takes_several_steps() -> None:
    few = steady_state(PROFILE, TERMS, concurrency=1, prompt_tokens=4000, output_tokens=100, budget=8192)
    many = steady_state(PROFILE, TERMS, concurrency=1, prompt_tokens=4000, output_tokens=100, budget=1001)
    assert many.ttft_s > few.ttft_s + 3 * 0.010


@pytest.mark.parametrize("concurrency", [1, 4, 16, 64])
def test_more_requests_never_make_a_token_faster(concurrency: int) -> None:
    one, more = (
        steady_state(PROFILE, TERMS, concurrency=c, prompt_tokens=500, output_tokens=200).tpot_s
        for c in (concurrency, 2 * concurrency)
    )
    assert more > one
