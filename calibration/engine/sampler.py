"""Tokens from logits: greedy, or by temperature and top-p with luck that depends on no other request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from advisor.errors import InputError
from advisor.sim.draws import uniform

CHOICE: Final = 0
ACCEPT: Final = 1
DRAFT: Final = 2
"""What a number decides: a token, whether a draft is accepted, a draft."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a request's tokens are chosen. Temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be sampled by (InputError)."""
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"sampling: temperature is {self.temperature}; allowed: finite, at least 0.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"sampling: top_p is {self.top_p}; allowed: above 0 and at most 1.")


def luck(sampling: Sampling, token: int, decides: int) -> float:
    """A number in [0, 1) for the request's seed, the place of the token in its answer, and what it decides.

    Neither the batch nor the step enter, so that a request's luck does not depend on its company.
    """
    return min(uniform(sampling.seed, token, decides), 1.0 - 2.0**-40)


def probabilities(logits: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Distribution of each row: (rows, vocab) logits -> probabilities; temperature 0 puts 1 on the likeliest.

    top_p keeps the likeliest tokens whose sum reaches it (Holtzman et al. 2020), scaled to sum to 1.
    """
    temperatures = torch.tensor([s.temperature or 1.0 for s in samplings], device=logits.device)
    probs = (logits / temperatures[:, None]).softmax(-1)
    if any(s.top_p < 1 for s in samplings):
        ordered, places = probs.sort(dim=-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        top_p = torch.tensor([s.top_p for s in samplings], device=logits.device)
        ordered = ordered.masked_fill(before >= top_p[:, None], 0.0)
        probs = torch.zeros_like(probs).scatter_(-1, places, ordered)
        probs /= probs.sum(-1, keepdim=True)
    greedy = [row for row, s in enumerate(samplings) if s.temperature == 0]
    if greedy:
        rows = torch.tensor(greedy, device=logits.device)
        probs[rows] = 0.0
        probs[rows, logits[rows].argmax(-1)] = 1.0
    return probs


def choose(probs: Tensor, lucks: Tensor) -> Tensor:
    """Tokens by inverse cumulative distribution: probs (rows, vocab), scaled or not; lucks (rows,)."""
    sums = probs.double().cumsum(-1)
    found = torch.searchsorted(sums, (lucks.to(sums) * sums[:, -1])[:, None], right=True)
    return found[:, 0].clamp_(max=probs.shape[1] - 1)
