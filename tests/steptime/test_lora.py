"""The LoRA term, with round numbers."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from advisor.profile import LoraTerm
from advisor.spec.spec import Origin
from advisor.steptime.lora import lora_cost
from tests.profiles import LLAMA_8B


def term(**changes: float) -> LoraTerm:
    return LoraTerm(origin=Origin.MEASURED, source="made up for a test", **changes)  # type: ignore[arg-type]


def test_adapters_in_the_cpu_cache_make_each_adapter_of_a_step_dearer() -> None:
    made = term(per_adapter_s=1e-3, per_adapter_cached_s=1e-6)
    few, many = (lora_cost(made, LLAMA_8B, max_loras=8, max_rank=16, max_cpu_loras=n) for n in (8, 108))
    assert many.seconds(50, 10) - few.seconds(50, 10) == pytest.approx(10 * 100 * 1e-6)


def test_prompt_tokens_cost_on_top_of_tokens() -> None:
    cost = lora_cost(
        term(per_prompt_token_s=2e-5, per_slot_prompt_token_s=1e-7, per_token_s=1e-6),
        LLAMA_8B,
        max_loras=10,
        max_rank=16,
    )
    assert cost.seconds(300, 1, 200) == pytest.approx(300 * 1e-6 + 200 * (2e-5 + 10 * 1e-7))
    assert cost.seconds(300, 0, 200) == 0.0


def test_rank_grows_slots_and_adapters_beyond_the_first_tile_only() -> None:
    made = term(per_slot_s=1e-5, per_adapter_s=1e-3, per_prompt_token_s=2e-5, rank_growth=0.5)
    cost = {rank: lora_cost(made, LLAMA_8B, max_loras=10, max_rank=rank) for rank in (8, 16, 32, 64)}
    assert asdict(cost[8]) == asdict(cost[16])
    for rank, grown in ((16, 1.0), (32, 1.5), (64, 2.5)):
        assert cost[rank].seconds(1, 2) == pytest.approx(grown * (10 * 1e-5 + 2 * 1e-3))
        assert cost[rank].per_prompt_token_s == pytest.approx(2e-5)
