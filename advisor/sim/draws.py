"""How many tokens each verify step yields: counter-based draws, the same in both engines.

A draw depends on (seed, request, verify step) and on nothing else, so that engines, routers and batch
sizes see the same luck. The uniform is splitmix64's finaliser over a linear mix of the three counters
(Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advisor.sim.setup import SpecSetup
from advisor.trace.trace import BASE

_MASK = (1 << 64) - 1
_SEED_STEP, _REQUEST_STEP, _VERIFY_STEP = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def uniform(seed: int, request: int, verify_step: int) -> float:
    """A number in [0, 1) for these three counters."""
    x = (seed * _SEED_STEP + (request + 1) * _REQUEST_STEP + (verify_step + 1) * _VERIFY_STEP) & _MASK
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return float((x ^ (x >> 31)) >> 11) * 2.0**-53


def uniforms(seed: int, requests: NDArray[np.int64], verify_steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same, for arrays of equal length."""
    x = (requests.astype(np.uint64) + np.uint64(1)) * np.uint64(_REQUEST_STEP)
    x += (verify_steps.astype(np.uint64) + np.uint64(1)) * np.uint64(_VERIFY_STEP)
    x += np.uint64((seed * _SEED_STEP) & _MASK)
    x ^= x >> np.uint64(30)
    x *= np.uint64(_MIX_1)
    x ^= x >> np.uint64(27)
    x *= np.uint64(_MIX_2)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Draws:
    """Tokens that a verify step yields: 1 + the drafts accepted, P(at least i accepted) = marginal i."""

    __slots__ = ("adapter_marginals", "base_marginals", "draft_length", "own_marginals", "seed")

    def __init__(self, speculation: SpecSetup, seed: int) -> None:
        self.seed = seed
        self.draft_length = speculation.draft_length
        self.base_marginals = speculation.base.marginals[: self.draft_length]
        self.adapter_marginals = speculation.adapter.marginals[: self.draft_length]
        self.own_marginals = {index: one.marginals[: self.draft_length] for index, one in speculation.own}

    def tokens(self, request: int, adapter: int, verify_step: int, drafted: int) -> int:
        """Tokens of one verify step of so many drafts, 1 to drafted + 1."""
        marginals = self.base_marginals
        if adapter != BASE:
            marginals = self.own_marginals.get(adapter, self.adapter_marginals)
        luck = uniform(self.seed, request, verify_step)
        return 1 + sum(luck < marginal for marginal in marginals[:drafted])

    def many(
        self,
        requests: NDArray[np.int64],
        adapters: NDArray[np.int64],
        verify_steps: NDArray[np.int64],
        drafted: int,
    ) -> NDArray[np.int64]:
        """The same, for arrays of equal length."""
        luck = uniforms(self.seed, requests, verify_steps)
        base, adapter = self.base_marginals[:drafted], self.adapter_marginals[:drafted]
        to_base = adapters == BASE
        if to_base.all():
            return 1 + _accepted(luck, base)
        tuned = _accepted(luck, adapter)
        for index, marginals in self.own_marginals.items():
            mine = adapters == index
            tuned[mine] = _accepted(luck[mine], marginals[:drafted])
        if not to_base.any():
            return 1 + tuned
        return 1 + np.where(to_base, _accepted(luck, base), tuned)

    def expected_tokens(self, drafted: int) -> float:
        """Mean tokens of a verify step of so many drafts, for those who get fewer."""
        every = (self.base_marginals, self.adapter_marginals, *self.own_marginals.values())
        return 1.0 + min(math.fsum(marginals[:drafted]) for marginals in every)


def _accepted(luck: NDArray[np.float64], marginals: tuple[float, ...]) -> NDArray[np.int64]:
    """How many marginals lie above each number."""
    accepted = np.zeros(len(luck), dtype=np.int64)
    for marginal in marginals:
        accepted += luck < marginal
    return accepted
