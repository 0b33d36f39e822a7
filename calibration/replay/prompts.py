"""Prompts as token ids: equal where the trace says that a prefix is shared, nowhere else by accident."""

from __future__ import annotations

import numpy as np

from advisor.trace.trace import Trace


def prompts_for(trace: Trace, vocab_size: int, seed: int = 0, *, first_token: int = 1) -> list[list[int]]:
    """A prompt a request, as long as the trace says.

    Args:
        trace: lengths and shared prefixes.
        vocab_size: tokens are drawn evenly from `first_token` to below it.
        seed: same seed, same prompts.
        first_token: leaves out special tokens at the start of the vocabulary.
    """
    lengths = trace.prompt_tokens
    prefixes = trace.prefixes
    prompts = []
    for index, length in enumerate(lengths.tolist()):
        head: list[int] = []
        if prefixes is not None:
            ids = prefixes.ids[prefixes.offsets[index] : prefixes.offsets[index + 1]]
            for block in ids.tolist():
                draw = np.random.default_rng([seed, 1, block % 2**32, abs(block) >> 32])
                head += draw.integers(first_token, vocab_size, prefixes.block_tokens).tolist()
        own = np.random.default_rng([seed, 0, index]).integers(first_token, vocab_size, length)
        prompts.append((head + own.tolist())[:length])
    return prompts
