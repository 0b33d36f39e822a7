"""Attention between and beyond the measured points: of a prompt chunk, and of decodes beside prompts."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from advisor.profile import MixedAttention, PrefillAttention
from advisor.steptime.tables import by_count

_SHIFT = 256.0
"""Added to the context before the logarithm, so that a context of nothing has a place on the axis."""


_Tokens = TypeVar("_Tokens", float, NDArray[np.float64])


def chunk_work(new_tokens: _Tokens, context_tokens: float) -> _Tokens:
    """Query-key pairs of a causal chunk, q·(c + q/2). Source: design.md section 3."""
    return new_tokens * (context_tokens + 0.5 * new_tokens)


class ChunkAttention:
    """Seconds of a chunk of q new tokens on c tokens of context, all layers, one sequence.

    Inside the grid: linear in log seconds over (log q, log(c + 256)), exact for power laws. Outside:
    the nearest edge, scaled by the ratio of `chunk_work` above the grid, held below it.
    """

    def __init__(self, term: PrefillAttention, budget: int) -> None:
        self._q = list(term.new_tokens)
        self._c = list(term.context_tokens)
        self._log_q = [math.log(q) for q in self._q]
        self._log_c = [math.log(c + _SHIFT) for c in self._c]
        self._log_s = [[math.log(max(s, 1e-12)) for s in row] for row in term.seconds]
        self.fresh_s = self._without_context(budget)  # of chunks without context, by their tokens

    def seconds(self, new_tokens: int, context_tokens: int) -> float:
        """Seconds of one chunk."""
        if context_tokens == 0 and new_tokens < len(self.fresh_s):
            return self.fresh_s[new_tokens]
        return self._interpolated(new_tokens, context_tokens)

    def _without_context(self, budget: int) -> list[float]:
        """Seconds of chunks of 0, 1, ..., `budget` tokens at the start of a prompt: most chunks by far."""
        q = np.arange(1, budget + 1, dtype=np.float64)
        inside = np.clip(q, self._q[0], self._q[-1])
        seconds = np.exp(np.interp(np.log(inside), self._log_q, [row[0] for row in self._log_s]))
        grown = chunk_work(q, self._c[0]) / chunk_work(inside, self._c[0])
        return [0.0, *(seconds * np.where(q > inside, grown, 1.0)).tolist()]

    def _interpolated(self, new_tokens: float, context_tokens: float) -> float:
        q = min(max(new_tokens, self._q[0]), self._q[-1])
        c = min(max(context_tokens, self._c[0]), self._c[-1])
        row, along_q = _place(self._log_q, math.log(q))
        column, along_c = _place(self._log_c, math.log(c + _SHIFT))
        low, high = self._log_s[row], self._log_s[min(row + 1, len(self._q) - 1)]
        right = min(column + 1, len(self._c) - 1)
        near = low[column] + along_c * (low[right] - low[column])
        far = high[column] + along_c * (high[right] - high[column])
        seconds = math.exp(near + along_q * (far - near))
        if new_tokens > q or context_tokens > c:
            seconds *= chunk_work(max(new_tokens, q), max(context_tokens, c)) / chunk_work(q, c)
        return seconds


class BesidePrompts:
    """Seconds that decoding sequences add to a step with prompt tokens: linear in both axes, held outside."""

    def __init__(self, term: MixedAttention, seats: int) -> None:
        self._prompt = list(term.prompt_tokens)
        self._fixed = [by_count(term.sequences, row, seats) for row in term.fixed_s]
        self._slope = [by_count(term.sequences, row, seats) for row in term.per_context_token_s]

    def seconds(self, prompt_tokens: int, decodes: int, context_tokens: int) -> float:
        """Seconds of `decodes` sequences with this total context beside so many prompt tokens."""
        if not decodes:
            return 0.0
        inside = min(max(prompt_tokens, self._prompt[0]), self._prompt[-1])
        row, along = _place(self._prompt, inside)
        after = min(row + 1, len(self._prompt) - 1)
        near = self._fixed[row][decodes] + self._slope[row][decodes] * context_tokens
        far = self._fixed[after][decodes] + self._slope[after][decodes] * context_tokens
        return near + along * (far - near)


def _place(axis: list[float], value: float) -> tuple[int, float]:
    """Index of the left neighbour and the share of the way to the right one."""
    if len(axis) == 1:
        return 0, 0.0
    left = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return left, (value - axis[left]) / (axis[left + 1] - axis[left])
