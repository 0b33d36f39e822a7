"""Clocks that leave one cause out, for counterfactual simulation."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.steptime.batch import Batch, DecodeLine, StepClock, StepParts


@dataclass(frozen=True, slots=True)
class LoraInPrefillOnly:
    """Steps that hold prompt chunks pay for LoRA, pure decode steps run as on an engine without it."""

    with_lora: StepClock
    base: StepClock

    def parts(self, batch: Batch) -> StepParts:
        """Seconds of a step."""
        return self.with_lora.parts(batch) if batch.chunks else self.base.parts(batch._replace(adapters=0))

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The base's line."""
        del adapters
        return self.base.decode_line(decodes, 0, draft_length, context_tokens)


@dataclass(frozen=True, slots=True)
class WithoutLora:
    """Every step runs as on an engine without LoRA, whatever adapters are in it."""

    base: StepClock

    def parts(self, batch: Batch) -> StepParts:
        """Seconds of a step."""
        return self.base.parts(batch._replace(adapters=0))

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The base's line."""
        del adapters
        return self.base.decode_line(decodes, 0, draft_length, context_tokens)
