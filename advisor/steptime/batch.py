"""What one engine step is made of, and where its time goes. The contract between steptime and sim."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Batch(NamedTuple):
    """One step of one replica.

    With speculation each decoding sequence contributes draft_length + 1 new tokens. The step has
    T = Σ q_i + decodes · (draft_length + 1) new tokens and `outputs` rows that get logits
    (decodes · (draft_length + 1), plus one for each chunk that completes its prompt).
    """

    decodes: int  # S, decoding sequences
    context_tokens: int  # C, KV tokens of the decoding sequences before this step, summed
    chunks: tuple[tuple[int, int], ...] = ()  # (q_i new tokens, c_i context before them) of each prompt chunk
    outputs: int = 0
    draft_length: int = 0  # γ; 0 without speculation
    adapters: int = 0  # A, distinct adapters among the scheduled sequences (the base is none)

    @property
    def tokens(self) -> int:
        """T, new tokens of the step."""
        return sum(q for q, _ in self.chunks) + self.decodes * (self.draft_length + 1)


class StepParts(NamedTuple):
    """Seconds of one step by component; they add up to the step. Order is that of `COMPONENTS`."""

    dense: float
    attention: float
    head: float
    lora: float
    draft: float
    all_reduce: float
    host: float  # what is not hidden behind the device

    @property
    def total(self) -> float:
        """Seconds of the step."""
        return self.dense + self.attention + self.head + self.lora + self.draft + self.all_reduce + self.host


COMPONENTS = StepParts._fields


class DecodeLine(NamedTuple):
    """A pure decode step of fixed S and A as a function of the context C: parts(C) = at_zero + C · slope.

    Valid for context_low <= C < context_high; at `context_high` another line begins (where host
    time stops or starts to be hidden). Attention, draft and host are the parts whose slope may differ from 0.
    """

    at_zero: StepParts
    slope: StepParts
    context_low: float
    context_high: float


class StepClock(Protocol):
    """How long a step takes. Pure, deterministic, cheap: the simulator asks once an event."""

    def parts(self, batch: Batch) -> StepParts:
        """Seconds of any step, by component."""
        ...

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The line on which pure decode steps lie around this context.

        For every C in [context_low, context_high):
        parts(Batch(decodes, C, (), decodes·(γ+1), γ, adapters)) equals at_zero + C·slope to rounding.
        """
        ...
