"""Mean step and first token of a closed loop, by algebra: to hold a profile against published points.

A closed loop keeps S requests running. Each needs output - 1 decode steps; a finished one is replaced at
once, so that a share f = S · chunks / output of the steps also computes a prompt chunk:

    TPOT = (1 - f) · t(decodes only) + f · t(decodes and a chunk)          f ≤ 1
    TTFT = frontend + half a step + chunks · t(decodes and a chunk)

with the decoding sequences half way through their outputs. The simulator is the better judge; this takes
microseconds and has no queue. Source: design.md sections 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.profile import ModelTerms, Profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock


@dataclass(frozen=True, slots=True)
class Steady:
    """Seconds a token after the first, and to the first, of a closed loop."""

    tpot_s: float
    ttft_s: float


def steady_state(
    profile: Profile,
    terms: ModelTerms,
    *,
    concurrency: int,
    prompt_tokens: int,
    output_tokens: int,
    budget: int = 8192,
) -> Steady:
    """Predict a closed loop of equal requests without adapters.

    Args:
        profile: device and engine.
        terms: of the model and degree.
        concurrency: S, requests running at any time.
        prompt_tokens: of each request.
        output_tokens: of each request, at least 2.
        budget: max_num_batched_tokens.
    """
    limits = EngineLimits(
        max_num_seqs=max(concurrency, 1), max_num_batched_tokens=max(budget, concurrency + 1)
    )
    clock = ProfileClock(profile, terms, limits)
    context = round(concurrency * (prompt_tokens + 0.5 * output_tokens))
    decode = clock.parts(Batch(concurrency, context, outputs=concurrency)).total
    room = max(1, limits.max_num_batched_tokens - concurrency)
    chunks = math.ceil(prompt_tokens / room)
    share = concurrency * chunks / output_tokens
    new = math.ceil(prompt_tokens / chunks)
    at_once = max(1.0, share)
    sequences = tuple((new, round((index % chunks) * new)) for index in range(round(at_once)))
    mixed = clock.parts(Batch(concurrency, context, sequences, concurrency + len(sequences))).total
    share = min(share, 1.0)
    tpot = (1.0 - share) * decode + share * mixed
    return Steady(tpot, profile.frontend.fixed_s + 0.5 * tpot + chunks * mixed)
