"""The LoRA term, with round numbers."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from advisor.profile import LoraTerm
from advisor.spec.model import ALL_LINEAR
from advisor.spec.spec import Origin
from advisor.steptime.lora import blocks_per_slot, lora_blocks, lora_cost
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
        assert cost[rank].seconds(120, 2) == pytest.approx(grown * (10 * 1e-5 + 2 * 1e-3))
        assert cost[rank].seconds(121, 2) == pytest.approx(10 * 1e-5 + 2 * 1e-3)
        assert cost[rank].per_prompt_token_s == pytest.approx(2e-5)


def test_blocks_of_a_slot_by_hand() -> None:
    """Llama-3.1-8B: 32 layers, 7 slices split 8 ways; outputs of 4096 and 14336 in columns of 128."""
    assert lora_blocks(LLAMA_8B, ALL_LINEAR, 16) == (32 * 7 * 8, 32 * (3 * 32 + 32 + 2 * 112 + 32))
    assert lora_blocks(LLAMA_8B, ALL_LINEAR, 8) == lora_blocks(LLAMA_8B, ALL_LINEAR, 16)
    assert lora_blocks(LLAMA_8B, ALL_LINEAR, 17)[0] == 2 * 32 * 7 * 8
    assert lora_blocks(LLAMA_8B, ("o_proj",), 16) == (32 * 8, 32 * 32)
    assert blocks_per_slot(LLAMA_8B, ALL_LINEAR, 16, 1) == (1792 * 8, 12_288)
    assert blocks_per_slot(LLAMA_8B, ALL_LINEAR, 16, 120) == (1792 * 8 * 4, 12_288 * 2)
    assert blocks_per_slot(LLAMA_8B, ALL_LINEAR, 16, 121) == (1792 * 4, 12_288 * 2)
    assert blocks_per_slot(LLAMA_8B, ALL_LINEAR, 16, 2048) == (1792 * 64, 12_288 * 32)


@pytest.mark.parametrize("tokens", [1, 32, 33, 64, 65, 120, 121, 128, 129, 2048])
def test_reserved_slots_cost_their_blocks(tokens: int) -> None:
    made = term(slot_shrink_block_s=1e-9, slot_expand_block_s=3e-9)
    cost = lora_cost(made, LLAMA_8B, max_loras=9, max_rank=32)
    shrink, expand = blocks_per_slot(LLAMA_8B, ALL_LINEAR, 32, tokens)
    assert cost.seconds(tokens, 1) == pytest.approx(10 * (shrink * 1e-9 + expand * 3e-9))
    assert cost.seconds(tokens, 7) == cost.seconds(tokens, 1)
    assert cost.seconds(tokens, 0) == 0.0
