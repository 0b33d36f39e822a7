"""The latency of a request alone on an idle replica: no number of replicas goes below it.

A step never becomes faster by more work in it, so a lone request's prompt steps bound its TTFT, and the
decode steps of a batch of one bound its TPOT. What the bound breaks needs no search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.deployment import Variant
from advisor.search.trial import PoolTraffic
from advisor.spec.engine import EngineLimits
from advisor.spec.objective import Metric, Objective
from advisor.spec.quantities import told_apart
from advisor.steptime.batch import Batch, StepClock

_SAMPLE = 400


def floor_reason(
    variant: Variant, limits: EngineLimits, clock: StepClock, traffic: PoolTraffic, objective: Objective
) -> str | None:
    """Name the limits that one request alone breaks, or None.

    Prompts with shared prefixes may be cached, so that for them only TPOT is bounded.
    """
    trace = traffic.trace
    if not len(trace):
        return None
    rows = np.unique(np.linspace(0, len(trace) - 1, min(len(trace), _SAMPLE)).astype(np.int64))
    prompt, output = trace.prompt_tokens[rows], trace.output_tokens[rows]
    active = 1 if limits.max_loras else 0
    frontend = variant.profile.frontend
    budget = limits.max_num_batched_tokens
    ttft = np.array([prompt_s(clock, int(p), budget, active) for p in prompt])
    ttft = ttft + frontend.fixed_s + frontend.per_prompt_token_s * prompt.astype(np.float64)
    if trace.prefixes is not None:
        ttft = np.zeros(len(rows))
    gamma = 0 if variant.drafting is None else variant.drafting.draft_length
    alone = (Batch(1, int(p), (), gamma + 1, gamma, active) for p in prompt)
    step = np.array([clock.parts(batch).total for batch in alone])
    tpot = np.where(output > 1, step / (gamma + 1), 0.0)
    floors: dict[Metric, NDArray[np.float64]] = {
        Metric.TTFT: ttft,
        Metric.TPOT: tpot,
        Metric.E2E: ttft + tpot * (output - 1),
    }
    broken = []
    for slo in objective.limits:
        value = _sure_percentile(floors[slo.metric], slo.percentile)
        if value > slo.limit:
            taken, limit = told_apart(value * 1e3, slo.limit * 1e3)
            broken.append(
                f"{slo.metric.value.upper()} p{slo.percentile:g} of requests alone on an idle replica is "
                f"{taken} ms; the limit is {limit} ms"
            )
    return ", and ".join(broken) or None


def prompt_s(clock: StepClock, prompt_tokens: int, budget: int, adapters: int) -> float:
    """Seconds of a prompt's chunks, alone."""
    seconds, done = 0.0, 0
    while done < prompt_tokens:
        chunk = min(budget, prompt_tokens - done)
        done += chunk
        ends = int(done == prompt_tokens)
        seconds += clock.parts(Batch(0, 0, ((chunk, done - chunk),), ends, 0, adapters)).total
    return seconds


def _sure_percentile(values: NDArray[np.float64], percentile: float) -> float:
    """A percentile that a sample of this size exceeds but rarely: two standard errors of the rank below."""
    share = percentile / 100
    slack = 2 * (share * (1 - share) / len(values)) ** 0.5
    return float(np.percentile(values, 100 * max(share - slack, 0.0), method="inverted_cdf"))
