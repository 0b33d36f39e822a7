"""What an engine is beside its limits, and what no engine can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from advisor.errors import InputError
from advisor.spec.engine import EngineLimits
from calibration.engine.speculate import ModelDraft, NgramDraft

Graphs = Literal["auto", "off", "static", "cuda"]
"""How steps of decodes alone run. off: in their own shapes. static: padded to fixed shapes, not captured.
cuda: the same, captured as CUDA graphs. auto: cuda on a CUDA device with triton, else off."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Memory, dtype, device, draft, graphs."""

    kv_blocks: int = 512
    dtype: str = "auto"  # of weights, KV and slots: auto, float32, bfloat16, float16
    device: str = "cpu"
    draft: NgramDraft | ModelDraft | None = None
    keep_records: int = 1_000_000  # steps and loads remembered; older ones are dropped
    graphs: Graphs = "auto"

    @property
    def draft_length(self) -> int:
        """γ; 0 without speculation."""
        return self.draft.length if self.draft else 0

    def check(self, limits: EngineLimits) -> None:
        """Refuse what the engine cannot be (InputError)."""
        gamma, budget = self.draft_length, limits.max_num_batched_tokens
        problems = []
        if limits.async_scheduling:
            problems.append("engine: async_scheduling is true; allowed: false, this engine is serial.")
        if self.kv_blocks < 1:
            problems.append(f"engine: kv_blocks is {self.kv_blocks}; allowed: at least 1.")
        if self.graphs not in get_args(Graphs):
            problems.append(f"engine: graphs is {self.graphs!r}; allowed: {', '.join(get_args(Graphs))}.")
        if self.draft is not None and gamma < 1:
            problems.append(f"engine: the draft's length is {gamma}; allowed: at least 1.")
        if budget <= gamma:
            problems.append(
                f"engine: max_num_batched_tokens is {budget}; allowed: at least {gamma + 1}, "
                "one token and its drafts."
            )
        if problems:
            raise InputError(problems)

    def longest(self, limits: EngineLimits, max_positions: int) -> int:
        """Tokens that prompt and answer of one request may have; the last one needs no KV."""
        held = self.kv_blocks * limits.kv_block_tokens - self.draft_length + 1
        return min(max_positions, held)
