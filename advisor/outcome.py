"""Simulated columns to the figures that people compare."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.recommendation import Outcome, Percentiles, SloCheck
from advisor.sim.result import CAUSES, SimResult
from advisor.spec.objective import Objective, Slo

_SPREAD = (50.0, 90.0, 95.0, 99.0)


def counted(
    results: Sequence[SimResult], duration_s: float, warm_up: float = 0.15, cool_down: float = 0.05
) -> list[NDArray[np.bool_]]:
    """Which requests count: those that arrive after the first and before the last part of the trace.

    The trace starts on empty, cold replicas and ends with a queue that drains unfed; neither is the
    steady state that is paid for. Requests that never finish count, as infinitely late.

    Args:
        results: one a pool.
        duration_s: length of the trace.
        warm_up: share of the trace, at its beginning, whose arrivals do not count.
        cool_down: the same at its end.

    Returns:
        One mask a pool, shape (requests of the pool,).
    """
    low, high = warm_up * duration_s, (1 - cool_down) * duration_s
    return [(r.arrival_s >= low) & (r.arrival_s <= high) for r in results]


def outcome_of(
    results: Sequence[SimResult],
    objective: Objective,
    duration_s: float,
    devices_busy: float,
    *,
    every: bool = False,
) -> Outcome:
    """Join the results of a deployment's pools into one outcome.

    Args:
        results: one a pool, on the same clock.
        objective: its limits decide what is good.
        duration_s: length of the trace.
        devices_busy: replicas over all pools, of those that scale the mean, for the utilisation.
        every: count all requests, also those at the ends of the trace.
    """
    masks = counted(results, duration_s, *((0.0, 0.0) if every else ()))
    column = {
        name: np.concatenate([getattr(r, name)[m] for r, m in zip(results, masks, strict=True)])
        for name in ("ttft_s", "tpot_s", "e2e_s", "done")
    }
    done = column["done"].astype(bool)
    late = {name: np.where(done, column[name], np.inf) for name in ("ttft_s", "tpot_s", "e2e_s")}
    late["ttft_s"] = np.where(np.isfinite(column["ttft_s"]), column["ttft_s"], np.inf)
    end = max(max((r.end_s for r in results), default=0.0), 1e-12)
    finished = [r.done for r in results]
    output = sum(int(r.output_tokens[d].sum()) for r, d in zip(results, finished, strict=True))
    prompt = sum(int(r.prompt_tokens[d].sum()) for r, d in zip(results, finished, strict=True))
    busy = math.fsum(r.step_time_s for r in results)
    verify = sum(int(r.verify_steps[d].sum()) for r, d in zip(results, finished, strict=True))
    decoded = output - sum(int(d.sum()) for d in finished)
    lived = math.fsum(float(np.nansum(r.last_token_s - r.scheduled_s)) for r in results)
    ttft_causes = _mean_causes([r.ttft_causes_s[m & r.done] for r, m in zip(results, masks, strict=True)])
    decode_causes = _mean_causes([r.decode_causes_s[m & r.done] for r, m in zip(results, masks, strict=True)])
    return Outcome(
        ttft=percentiles(late["ttft_s"]),
        tpot=percentiles(late["tpot_s"]),
        e2e=percentiles(late["e2e_s"]),
        itl=_weighted([r.itl_s for r in results], [r.itl_weight for r in results]),
        goodput_share=float(np.mean(good(late, objective.limits))) if len(done) else 0.0,
        requests=sum(len(r.arrival_s) for r in results),
        counted_requests=len(done),
        unfinished_requests=sum(int((~d).sum()) for d in finished),
        throughput_rps=sum(int(d.sum()) for d in finished) / end,
        output_tokens_per_s=output / end,
        total_tokens_per_s=(output + prompt) / end,
        utilisation=busy / (devices_busy * end),
        mean_batch=lived / busy if busy else 0.0,
        preemptions=sum(int(r.preemptions.sum()) for r in results),
        loads_from_disk=sum(r.loads_from_disk for r in results),
        loads_to_slot=sum(r.loads_to_slot for r in results),
        acceptance_length=decoded / verify if verify else None,
        ttft_causes_s=ttft_causes,
        decode_causes_s=decode_causes,
    )


def good(late: dict[str, NDArray[np.float64]], limits: Sequence[Slo]) -> NDArray[np.bool_]:
    """Which requests meet every limit at once, each limit taken per request."""
    ok = np.isfinite(late["e2e_s"])
    for slo in limits:
        ok &= late[f"{slo.metric.value}_s"] <= slo.limit
    return ok


def percentiles(values: NDArray[np.float64]) -> Percentiles:
    """Mean and percentiles: the smallest value that at least p per cent do not exceed (no interpolation)."""
    if not len(values):
        return Percentiles(mean_s=0.0, p50_s=0.0, p90_s=0.0, p95_s=0.0, p99_s=0.0)
    p50, p90, p95, p99 = (float(v) for v in np.percentile(values, _SPREAD, method="inverted_cdf"))
    capped = [min(v, 1e9) for v in (float(values.mean()), p50, p90, p95, p99)]
    return Percentiles(mean_s=capped[0], p50_s=capped[1], p90_s=capped[2], p95_s=capped[3], p99_s=capped[4])


def _weighted(values: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.int64]]) -> Percentiles:
    x, w = np.concatenate(values), np.concatenate(weights)
    if not len(x):
        return percentiles(x)
    order = np.argsort(x, kind="stable")
    x, cumulative = x[order], np.cumsum(w[order])
    p50, p90, p95, p99 = (float(x[np.searchsorted(cumulative, p / 100 * cumulative[-1])]) for p in _SPREAD)
    mean = float((x * w[order]).sum() / cumulative[-1])
    return Percentiles(mean_s=mean, p50_s=p50, p90_s=p90, p95_s=p95, p99_s=p99)


def _mean_causes(rows: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    joined = np.concatenate(rows)
    means = joined.mean(axis=0) if len(joined) else np.zeros(len(CAUSES))
    # a fleet that never made anybody wait for a start-up does not show the cause
    found = zip(CAUSES, means, strict=True)
    return {cause: float(value) for cause, value in found if value or cause != "start_up"}


def checks_of(
    outcome: Outcome,
    results: Sequence[SimResult],
    objective: Objective,
    duration_s: float,
    *,
    every: bool = False,
) -> tuple[SloCheck, ...]:
    """Hold every limit of the objective against the counted requests, or all of them."""
    masks = counted(results, duration_s, *((0.0, 0.0) if every else ()))
    checks = []
    for slo in objective.limits:
        name = f"{slo.metric.value}_s"
        values = np.concatenate([getattr(r, name)[m] for r, m in zip(results, masks, strict=True)])
        values = np.where(np.isfinite(values), values, np.inf)
        value = float(np.percentile(values, slo.percentile, method="inverted_cdf")) if len(values) else 0.0
        checks.append(
            SloCheck(
                metric=slo.metric.value,
                percentile=slo.percentile,
                limit=slo.limit,
                value=min(value, 1e9),
                holds=value <= slo.limit,
            )
        )
    if objective.goodput_share is not None:
        value = outcome.goodput_share
        checks.append(
            SloCheck(
                metric="goodput",
                percentile=None,
                limit=objective.goodput_share,
                value=value,
                holds=value >= objective.goodput_share,
            )
        )
    return tuple(checks)
