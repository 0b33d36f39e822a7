"""What unmerged adapters add to a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.profile import LoraTerm
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes, lora_elements

_PACKED = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Engines fuse these projections: one shrink and one expand launch for each (engines.md 5.4)."""

_TILE_RANK = 16
"""Smallest tile of a Triton matrix product: ranks below cost the same."""
_SHRINK_TILE, _EXPAND_TILE, _EXPAND_COLUMNS = 32, 64, 128
"""Tokens of a block of each kernel; outputs of an expand block (vLLM 0.8.5, lora/ops/triton_ops)."""
_SPLIT_FROM = 121
"""Tokens from which the shrink splits 8 ways, not 64: 128, after padding to graphs of multiples of 8."""
_SPLIT_FEW, _SPLIT_MANY = 64, 8


@dataclass(frozen=True, slots=True)
class LoraCost:
    """t_lora = constant_s + A · per_adapter_s + T · per_token_s + P · per_prompt_token_s with adapter tokens.

    T  new tokens of the step; P  those of prompt chunks; A  distinct adapters in it. `base_step_s` for a
    step without any. Below 128 tokens slots cost `few_s` more and an adapter `few_adapter_s`, for their rank.
    A tile of 32 (64) tokens of the shrink (expand) grids costs `shrink_tile_s` (`expand_tile_s`), idle slots
    included; the shrink's is that of a split of 8.
    """

    constant_s: float
    per_adapter_s: float
    per_token_s: float
    base_step_s: float
    per_prompt_token_s: float = 0.0
    few_s: float = 0.0
    few_adapter_s: float = 0.0
    shrink_tile_s: float = 0.0
    expand_tile_s: float = 0.0

    def seconds(self, tokens: int, adapters: int, prompt_tokens: int = 0) -> float:
        """Seconds that the adapters add to one step."""
        if not adapters:
            return self.base_step_s
        seconds = self.constant_s + adapters * self.per_adapter_s + tokens * self.per_token_s
        seconds += prompt_tokens * self.per_prompt_token_s
        few = tokens < _SPLIT_FROM
        if few:
            seconds += self.few_s + adapters * self.few_adapter_s
        if self.shrink_tile_s or self.expand_tile_s:
            shrinks = -(-tokens // _SHRINK_TILE) * (_SPLIT_FEW // _SPLIT_MANY if few else 1)
            seconds += shrinks * self.shrink_tile_s - (-tokens // _EXPAND_TILE) * self.expand_tile_s
        return seconds


NO_LORA = LoraCost(0.0, 0.0, 0.0, 0.0)


def lora_cost(
    term: LoraTerm,
    model: ModelShape,
    *,
    max_loras: int,
    max_rank: int,
    modules: tuple[str, ...] = ALL_LINEAR,
    max_cpu_loras: int = 0,
) -> LoraCost:
    """Fix rank, slots and wrapped modules of a profile's LoRA term.

    constant = share·(fixed + slots·per_slot)       share: packed projections that are wrapped, of all four
    A term   = share·per_adapter + weight_bytes(r)·per_weight_byte + max_cpu_loras·per_adapter_cached
    T term   = share·(slots·per_slot_token + per_token) + elements·r·per_token_rank
               elements: wrapped d_in + d_out of all
    P term   = share·(slots·per_slot_prompt_token + per_prompt_token)
    below 128 tokens  share·g·(slots·per_slot + A·per_adapter) more, g = rank_growth·max(r/16 - 1, 0)
    tiles    = (slots + 1)·blocks·seconds a block, see `lora_blocks`
    Source: design.md section 3. The term's coefficients hold for all linear modules wrapped.
    """
    wrapped = set(modules)
    share = sum(1 for packed in _PACKED if wrapped & set(packed)) / len(_PACKED)
    elements = lora_elements(model, modules, 1) / lora_elements(model, ALL_LINEAR, 1)
    growth = share * term.rank_growth * max(max_rank / _TILE_RANK - 1.0, 0.0)
    shrink, expand = lora_blocks(model, modules, max_rank)
    return LoraCost(
        constant_s=share * (term.fixed_s + max_loras * term.per_slot_s),
        per_adapter_s=share * term.per_adapter_s
        + adapter_bytes(model, modules, max_rank) * term.per_weight_byte_s
        + max_cpu_loras * term.per_adapter_cached_s,
        per_token_s=share * (max_loras * term.per_slot_token_s + term.per_token_s)
        + elements * max_rank * term.per_token_rank_s,
        base_step_s=term.base_step_s,
        per_prompt_token_s=share * (max_loras * term.per_slot_prompt_token_s + term.per_prompt_token_s),
        few_s=growth * max_loras * term.per_slot_s,
        few_adapter_s=growth * term.per_adapter_s,
        shrink_tile_s=(max_loras + 1) * shrink * term.slot_shrink_block_s,
        expand_tile_s=(max_loras + 1) * expand * term.slot_expand_block_s,
    )


def lora_blocks(model: ModelShape, modules: tuple[str, ...], rank: int) -> tuple[int, int]:
    """Thread blocks that a slot adds to one step: of the shrink for 32 tokens, of the expand for 64.

    shrink = layers · Σ slices · 8 · ⌈rank / 16⌉                (64 instead of 8 below 128 tokens)
    expand = layers · Σ slices · ⌈widest output of the packed projection / 128⌉
    The sums go over the packed projections that are wrapped. A block of a slot without tokens in the step
    reads its slot's number and ends. Source: grids of vLLM 0.8.5, lora/ops/triton_ops.
    """
    wide = {"q_proj": model.heads * model.head_dim, "gate_proj": model.intermediate_size}
    shrink = expand = 0
    for packed in _PACKED:
        if set(packed) & set(modules):
            shrink += len(packed) * _SPLIT_MANY * math.ceil(rank / _TILE_RANK)
            expand += len(packed) * math.ceil(wide.get(packed[0], model.hidden_size) / _EXPAND_COLUMNS)
    return model.layers * shrink, model.layers * expand


def blocks_per_slot(model: ModelShape, modules: tuple[str, ...], rank: int, tokens: int) -> tuple[int, int]:
    """Thread blocks of one slot in a step of so many tokens: shrink, expand."""
    shrink, expand = lora_blocks(model, modules, rank)
    shrink *= math.ceil(tokens / _SHRINK_TILE)
    if tokens < _SPLIT_FROM:
        shrink *= _SPLIT_FEW // _SPLIT_MANY
    return shrink, expand * math.ceil(tokens / _EXPAND_TILE)
