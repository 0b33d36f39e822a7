"""Other traffic of the same kind: a trace resampled in blocks of neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.trace.prefixes import select
from advisor.trace.trace import Trace

BLOCK_REQUESTS = 50
"""Neighbours that stay together, so that bursts and conversations keep their shape."""


def resampled(whole: Trace, requests: int, rate_rps: float, rng: np.random.Generator) -> Trace:
    """Draw a trace of `requests` requests from blocks of `whole`, stretched to a mean rate.

    A moving-block bootstrap (Künsch 1989): blocks of neighbours with their own gaps, lengths, adapters and
    prefixes, drawn with replacement. The mean rate is set, because how far it may be off is an input of its
    own. A block that is drawn twice brings its prefixes twice.
    """
    count = len(whole)
    block = min(BLOCK_REQUESTS, count)
    starts = rng.integers(0, count - block + 1, -(-requests // block))
    index = (starts[:, None] + np.arange(block)[None, :]).ravel()[:requests].astype(np.int64)
    gap_s = np.diff(whole.arrival_s, prepend=whole.arrival_s[0])
    arrival_s = np.cumsum(gap_s[index])
    arrival_s = arrival_s - arrival_s[0]
    if rate_rps > 0 and arrival_s[-1] > 0:
        arrival_s = arrival_s * ((len(index) - 1) / (rate_rps * float(arrival_s[-1])))
    return replace(
        whole,
        arrival_s=arrival_s,
        prompt_tokens=whole.prompt_tokens[index],
        output_tokens=whole.output_tokens[index],
        adapter=whole.adapter[index],
        priority=None if whole.priority is None else whole.priority[index],
        prefixes=None if whole.prefixes is None else select(whole.prefixes, index),
    )
