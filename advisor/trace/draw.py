"""Random numbers by column: each column of a trace has its own stream of the seed.

So a change to one column's law leaves the others as they are, and a higher rate meets the same lengths
(common random numbers: a difference between two simulations is due to what was changed).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from advisor.errors import InputError
from advisor.trace.trace import Floats, Ints

Column = Literal[
    "gaps",
    "phases",
    "prompt_tokens",
    "output_tokens",
    "cell",
    "adapter",
    "base",
    "prefix",
    "reuse",
    "cascade",
    "order",
]
_KEYS: Final[dict[Column, int]] = {
    "gaps": 0, "phases": 1, "prompt_tokens": 2, "output_tokens": 3, "cell": 4, "adapter": 5, "base": 6,
    "prefix": 7, "reuse": 8, "cascade": 9, "order": 10,
}  # fmt: skip
MAX_REQUESTS: Final = 20_000_000


def generator(seed: int, column: Column, stream: int = 0) -> np.random.Generator:
    """The random stream of one column (of one process, where there are several)."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_KEYS[column], stream)))
    )


def uniforms(seed: int, column: Column, count: int, stream: int = 0) -> Floats:
    """Numbers in [0, 1), shape (count,); the first ones do not depend on `count`."""
    return generator(seed, column, stream).random(count)


def checked_count(expected: float) -> None:
    """Refuse to draw more requests than memory holds.

    Raises:
        InputError: more than 20 million are to be expected.
    """
    if not expected <= MAX_REQUESTS:
        raise InputError(
            f"workload: rate times duration gives {expected:,.0f} requests; allowed: at most "
            f"{MAX_REQUESTS:,}. Lower the rate or the duration."
        )


def chosen(shares: Floats, uniform: Floats) -> Ints:
    """Index drawn by share: the inverse of the cumulated shares at `uniform`. Shares need not sum to 1."""
    edges = np.cumsum(shares)
    index = np.searchsorted(edges / edges[-1], uniform, side="right").astype(np.int64)
    return np.minimum(index, int(np.flatnonzero(shares)[-1]))
