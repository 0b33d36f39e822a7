"""Steady state of one replica by algebra: a guess that tells the search where to start, never the answer.

At load λ a replica whose step takes t seconds holds, by Little's law, B = λ · O · t / τ decoding
sequences and takes in λ · P · t prompt tokens a step. Both make the step longer; the fixed point, if
there is one, is the steady state. Source: design.md section 8 (bounds by algebra).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch, StepClock

_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Demand:
    """Mean traffic of one replica."""

    rate_rps: float
    prompt_tokens: float
    output_tokens: float
    shares: NDArray[np.float64]  # (adapters,) share of requests of each; the rest is base
    tokens_per_step: float = 1.0  # τ with speculation
    draft_length: int = 0


@dataclass(frozen=True, slots=True)
class SteadyState:
    """The fixed point. `stable` is False where the load does not fit; the other fields are then its limit."""

    stable: bool
    step_s: float
    batch: float
    adapters: float
    tpot_s: float


def distinct(shares: NDArray[np.float64], batch: float) -> float:
    """Expected distinct adapters among `batch` independent requests, Σ 1 - (1 - p_i)^B."""
    return float(np.sum(-np.expm1(batch * np.log1p(-np.minimum(shares, 1 - 1e-12)))))


def batch_limit(demand: Demand, limits: EngineLimits, kv_tokens: int) -> float:
    """Largest mean batch that seats, KV cache and adapter slots allow."""
    context = demand.prompt_tokens + demand.output_tokens / 2
    seats = min(
        float(limits.max_num_seqs),
        kv_tokens / context,
        limits.max_num_batched_tokens / (demand.draft_length + 1),
    )
    if len(demand.shares) and limits.max_loras and distinct(demand.shares, seats) > limits.max_loras:
        low, high = 0.0, seats
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if distinct(demand.shares, middle) <= limits.max_loras else (low, middle)
            )
        seats = low
    return seats


def steady_state(clock: StepClock, limits: EngineLimits, kv_tokens: int, demand: Demand) -> SteadyState:
    """Find the fixed point by damped iteration from an empty replica."""
    most = batch_limit(demand, limits, kv_tokens)
    step = 1e-4
    batch = adapters = 0.0
    for _ in range(_ROUNDS):
        batch = min(demand.rate_rps * demand.output_tokens * step / demand.tokens_per_step, most)
        prompt = min(demand.rate_rps * demand.prompt_tokens * step, float(limits.max_num_batched_tokens))
        adapters = distinct(demand.shares, batch + demand.rate_rps * step) if len(demand.shares) else 0.0
        new = _step_s(clock, limits, demand, batch, prompt, adapters)
        if abs(new - step) < 1e-4 * step:
            step = new
            break
        step = new
    served = batch * demand.tokens_per_step / (demand.output_tokens * step) if step else 0.0
    fits = (
        served >= 0.995 * demand.rate_rps
        and demand.rate_rps * demand.prompt_tokens * step < limits.max_num_batched_tokens
    )
    return SteadyState(fits and batch < 0.98 * most, step, batch, adapters, step / demand.tokens_per_step)


def _step_s(
    clock: StepClock, limits: EngineLimits, demand: Demand, batch: float, prompt: float, adapters: float
) -> float:
    """Mean seconds of a step, between the two whole batches around the mean one; prompts as whole chunks."""
    context = demand.prompt_tokens + demand.output_tokens / 2
    seqs = max(1, round(batch))
    seqs = min(seqs, limits.max_num_seqs, limits.max_num_batched_tokens // (demand.draft_length + 1))
    distinct_now = min(round(adapters), limits.max_loras) if len(demand.shares) else 0
    distinct_now = max(distinct_now, 1) if len(demand.shares) and limits.max_loras else distinct_now
    plain = clock.parts(
        Batch(
            seqs,
            round(seqs * context),
            (),
            seqs * (demand.draft_length + 1),
            demand.draft_length,
            distinct_now,
        )
    ).total
    chunk = min(round(demand.prompt_tokens), limits.max_num_batched_tokens - seqs * (demand.draft_length + 1))
    if prompt <= 0 or chunk < 1:
        return plain
    mixed = clock.parts(
        Batch(
            seqs,
            round(seqs * context),
            ((chunk, 0),),
            seqs * (demand.draft_length + 1) + 1,
            demand.draft_length,
            distinct_now,
        )
    ).total
    return plain + (prompt / chunk) * (mixed - plain)
