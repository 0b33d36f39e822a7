"""What is held against the limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """Steps of one kind: all prompts at once, or decodes on this much context."""

    sequences: int
    tokens: int  # of each prompt, or of each context
    decode: bool
    adapters: int = 0
    rank: int = 0
    draft_length: int = 0

    @property
    def name(self) -> str:
        """For people."""
        what = (
            f"decode, {self.sequences} on {self.tokens:,}"
            if self.decode
            else f"prompts, {self.sequences} of {self.tokens:,}"
        )
        if self.adapters:
            what += f", {self.adapters} adapter{'s' * (self.adapters > 1)} of rank {self.rank}"
        return what + (f", {self.draft_length} drafts" if self.draft_length else "")

    @property
    def kind(self) -> tuple[int, int]:
        """Cases of one kind share an engine: rank of its slots, its draft length."""
        return self.rank, self.draft_length


SHORT, LONG = 64, 1024
MOST_SEQUENCES: Final = 64
BUDGET: Final = 2048
DRAFTS: Final = 3
RANKS: Final = (8, 16, 64)
CASES: Final = (
    *(Case(1, tokens, decode=False) for tokens in (128, 512, 2048)),
    Case(4, 512, decode=False),
    *(Case(sequences, SHORT, decode=True) for sequences in (1, 4, 16, 64)),
    *(Case(sequences, LONG, decode=True) for sequences in (1, 16, 64)),
    *(Case(16, SHORT, True, adapters, rank) for rank in RANKS for adapters in (1, 8)),
    Case(64, SHORT, True, 8, 16),
    Case(1, 512, False, 1, 16),
    *(Case(sequences, SHORT, True, draft_length=DRAFTS) for sequences in (1, 16)),
)
