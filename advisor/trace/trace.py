"""A trace: requests in time, in columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BASE = -1
"""Adapter index of a request to the plain base model."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Which full prompt blocks are shared, ragged: request i holds ids[offsets[i]:offsets[i + 1]].

    Equal id sequences from the start of a prompt are equal text. Ids cover whole blocks of
    `block_tokens` tokens from the beginning of the prompt; what lies beyond them is private.
    """

    offsets: Ints  # (requests + 1,), from 0, rising
    ids: Ints  # (offsets[-1],)
    block_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests sorted by arrival. Every column has one entry a request."""

    arrival_s: Floats  # >= 0, rising or equal
    prompt_tokens: Ints  # >= 1
    output_tokens: Ints  # >= 1
    adapter: Ints  # index into `adapters`, or BASE
    adapters: tuple[str, ...] = ()
    priority: Ints | None = None  # smaller is served first; None: all equal
    prefixes: Prefixes | None = None
    name: str = "trace"
    notes: tuple[str, ...] = field(default=())  # what a reader counted, dropped by name, or assumed

    def __post_init__(self) -> None:
        n = len(self.arrival_s)
        columns = (self.prompt_tokens, self.output_tokens, self.adapter)
        assert all(len(column) == n for column in columns)
        assert n == 0 or (self.arrival_s[0] >= 0 and bool(np.all(np.diff(self.arrival_s) >= 0)))
        assert n == 0 or (int(self.prompt_tokens.min()) >= 1 and int(self.output_tokens.min()) >= 1)
        assert n == 0 or BASE <= int(self.adapter.min()) <= int(self.adapter.max()) < len(self.adapters)

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """Time of the last arrival."""
        return float(self.arrival_s[-1]) if len(self) else 0.0

    @property
    def rate_rps(self) -> float:
        """Mean arrivals a second: (requests - 1) gaps over the time between the first and the last."""
        span = float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) > 1 else 0.0
        return (len(self) - 1) / span if span > 0 else 0.0
