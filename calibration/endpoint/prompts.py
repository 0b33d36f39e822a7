"""Prompts that no run sends twice, so that a prefix cache never has them by accident."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import numpy as np

from calibration.replay.words import WordCost, text_of


@dataclass(slots=True)
class Prompts:
    """Random token ids (or as many words) keyed by seed, a nonce of this run, and a counter.

    The first tokens differ already, so not even one block is shared. A `nonce` given makes a run's prompts
    the same as another's, which a prefix cache may know.
    """

    vocab: int
    seed: int = 0
    cost: WordCost | None = None
    nonce: int = field(default_factory=lambda: secrets.randbits(32))
    made: int = 0

    def next(self, tokens: int) -> list[int] | str:
        """A new prompt of so many tokens (about so many, as words)."""
        self.made += 1
        random = np.random.default_rng([self.seed, self.nonce, self.made])
        ids: list[int] = random.integers(min(10, self.vocab - 1), self.vocab, tokens).tolist()
        return ids if self.cost is None else text_of(ids, self.cost.words_for(tokens))
