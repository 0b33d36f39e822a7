"""What unmerged adapters add to a step."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.profile import LoraTerm
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes, lora_elements

_PACKED = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Engines fuse these projections: one shrink and one expand launch for each (engines.md 5.4)."""


_TILE_RANK = 16
"""Smallest tile of a Triton matrix product: ranks below cost the same."""


@dataclass(frozen=True, slots=True)
class LoraCost:
    """t_lora = constant_s + A · per_adapter_s + T · per_token_s + P · per_prompt_token_s with adapter tokens.

    T  new tokens of the step; P  those of prompt chunks; A  distinct adapters in it. `base_step_s` for a
    step without any.
    """

    constant_s: float
    per_adapter_s: float
    per_token_s: float
    base_step_s: float
    per_prompt_token_s: float = 0.0

    def seconds(self, tokens: int, adapters: int, prompt_tokens: int = 0) -> float:
        """Seconds that the adapters add to one step."""
        if not adapters:
            return self.base_step_s
        seconds = self.constant_s + adapters * self.per_adapter_s + tokens * self.per_token_s
        return seconds + prompt_tokens * self.per_prompt_token_s


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

    constant = share·(fixed + g·slots·per_slot)     share: packed projections that are wrapped, of all four
    A term   = share·g·per_adapter + weight_bytes(r)·per_weight_byte + max_cpu_loras·per_adapter_cached
    T term   = share·(slots·per_slot_token + per_token) + elements·r·per_token_rank
               elements: wrapped d_in + d_out of all
    P term   = share·(slots·per_slot_prompt_token + per_prompt_token)
               g = 1 + rank_growth·max(r/16 - 1, 0)
    Source: design.md section 3. The term's coefficients hold for all linear modules wrapped.
    """
    wrapped = set(modules)
    share = sum(1 for packed in _PACKED if wrapped & set(packed)) / len(_PACKED)
    elements = lora_elements(model, modules, 1) / lora_elements(model, ALL_LINEAR, 1)
    grown = 1.0 + term.rank_growth * max(max_rank / _TILE_RANK - 1.0, 0.0)
    return LoraCost(
        constant_s=share * (term.fixed_s + grown * max_loras * term.per_slot_s),
        per_adapter_s=share * grown * term.per_adapter_s
        + adapter_bytes(model, modules, max_rank) * term.per_weight_byte_s
        + max_cpu_loras * term.per_adapter_cached_s,
        per_token_s=share * (max_loras * term.per_slot_token_s + term.per_token_s)
        + elements * max_rank * term.per_token_rank_s,
        base_step_s=term.base_step_s,
        per_prompt_token_s=share * (max_loras * term.per_slot_prompt_token_s + term.per_prompt_token_s),
    )
