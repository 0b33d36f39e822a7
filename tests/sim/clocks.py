"""A step clock with round numbers, so that the simulator's tests depend on no profile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.steptime.batch import Batch, DecodeLine, StepParts


@dataclass(frozen=True)
class AffineClock:
    """Every term of design section 3 in its simplest form. Seconds."""

    step_s: float = 8e-3
    token_s: float = 2e-5
    graph_tokens: int = 0  # pure decode batches are padded up to a multiple of this; 0: no staircase
    context_token_s: float = 7e-8
    attention_pair_s: float = 1e-9
    output_s: float = 1e-5
    lora_s: float = 1e-3
    lora_adapter_s: float = 3e-4
    lora_token_s: float = 3e-6
    draft_step_s: float = 4e-4
    draft_token_s: float = 1e-6
    draft_context_token_s: float = 3e-9
    host_s: float = 2e-3
    host_sequence_s: float = 3e-5
    overlapped_host: bool = False

    def parts(self, batch: Batch) -> StepParts:
        tokens = batch.tokens
        if self.graph_tokens and not batch.chunks:
            tokens = math.ceil(tokens / self.graph_tokens) * self.graph_tokens
        pairs = sum(q * (c + q / 2) for q, c in batch.chunks)
        lora = (
            self.lora_s + self.lora_adapter_s * batch.adapters + self.lora_token_s * tokens
            if batch.adapters
            else 0.0
        )
        draft = 0.0
        if batch.draft_length and batch.decodes:
            draft = batch.draft_length * (
                self.draft_step_s
                + self.draft_token_s * batch.decodes
                + self.draft_context_token_s * batch.context_tokens
            )
        device = (
            self.step_s + self.token_s * tokens,
            self.context_token_s * batch.context_tokens + self.attention_pair_s * pairs,
            self.output_s * batch.outputs,
            lora,
            draft,
            0.0,
        )
        host = self.host_s + self.host_sequence_s * (batch.decodes + len(batch.chunks))
        if self.overlapped_host:
            host = max(0.0, host - sum(device))
        return StepParts(*device, host)

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        outputs = decodes * (draft_length + 1)
        at_zero = self.parts(Batch(decodes, 0, (), outputs, draft_length, adapters))
        slope_draft = draft_length * self.draft_context_token_s
        slope = self.context_token_s + slope_draft
        if not self.overlapped_host or slope == 0.0:
            return DecodeLine(
                at_zero, StepParts(0.0, self.context_token_s, 0.0, 0.0, slope_draft, 0.0, 0.0), 0.0, math.inf
            )
        knot = max(0.0, at_zero.host / slope)  # where the device hides the host
        if context_tokens < knot:
            return DecodeLine(
                at_zero, StepParts(0.0, self.context_token_s, 0.0, 0.0, slope_draft, 0.0, -slope), 0.0, knot
            )
        hidden = at_zero._replace(host=0.0)
        return DecodeLine(
            hidden, StepParts(0.0, self.context_token_s, 0.0, 0.0, slope_draft, 0.0, 0.0), knot, math.inf
        )
