"""Numbers of a run: percentiles, goodput, throughput, utilisation, with warm-up and cool-down left out.

Conventions
    percentile   linear interpolation between order statistics (numpy's default, Hyndman and Fan's type 7),
                 over finished requests that *arrived* in the window; ITL: the smallest gap below or at which
                 p percent of all gaps of the run lie (type 1 over the weights), not cut to the window
    TPOT         (E2E - TTFT) / (output tokens - 1), over answers of at least two tokens
    goodput      share of the window's requests, unfinished ones included, that meet every limit given
    throughput   tokens of requests finished in the window over its length
    window       from `warm_up_s` to the last arrival less `cool_down_s`; arrivals at its ends belong to it
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.sim.result import SimResult

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run that is looked at."""

    begin_s: float
    end_s: float
    arrived: NDArray[np.bool_]  # requests that arrived in it

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.begin_s


def window(result: SimResult, warm_up_s: float = 0.0, cool_down_s: float = 0.0) -> Window:
    """Leave out arrivals of the first and the last seconds of the trace."""
    last_s = float(result.arrival_s[-1]) if len(result.arrival_s) else 0.0
    begin_s, end_s = warm_up_s, max(warm_up_s, last_s - cool_down_s)
    return Window(begin_s, end_s, (result.arrival_s >= begin_s) & (result.arrival_s <= end_s))


def percentiles(values: Floats, of: tuple[float, ...] = (50.0, 95.0, 99.0)) -> Floats:
    """Percentiles of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.full(len(of), np.nan)
    return np.asarray(np.percentile(finite, of), dtype=np.float64)


def ttft_s(result: SimResult, within: Window) -> Floats:
    """Time to first token of finished requests of the window."""
    return result.ttft_s[within.arrived & result.done]


def e2e_s(result: SimResult, within: Window) -> Floats:
    """End-to-end latency of finished requests of the window."""
    return result.e2e_s[within.arrived & result.done]


def tpot_s(result: SimResult, within: Window) -> Floats:
    """Time per output token of finished requests of the window that have at least two."""
    return result.tpot_s[within.arrived & result.done & (result.output_tokens > 1)]


def itl_percentiles_s(result: SimResult, of: tuple[float, ...] = (50.0, 95.0, 99.0)) -> Floats:
    """Percentiles of the gaps between emissions, each gap weighing one for each sequence that felt it."""
    if not result.itl_weight.sum():
        return np.full(len(of), np.nan)
    order = np.argsort(result.itl_s, kind="stable")
    reached = np.cumsum(result.itl_weight[order])
    rank = np.ceil(np.asarray(of) / 100.0 * reached[-1])
    return np.asarray(result.itl_s[order][np.searchsorted(reached, np.maximum(rank, 1))], dtype=np.float64)


def goodput_share(
    result: SimResult,
    within: Window,
    *,
    ttft_limit_s: float = np.inf,
    tpot_limit_s: float = np.inf,
    e2e_limit_s: float = np.inf,
) -> float:
    """Share of the window's requests that finished within all limits; 1 if there was none."""
    asked = within.arrived
    if not asked.any():
        return 1.0
    with np.errstate(invalid="ignore"):
        good = (
            (result.ttft_s <= ttft_limit_s) & (result.tpot_s <= tpot_limit_s) & (result.e2e_s <= e2e_limit_s)
        )
    return float(np.mean((good & result.done)[asked]))


def throughput_tokens_per_s(result: SimResult, within: Window) -> float:
    """Answer tokens a second."""
    if within.length_s <= 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        ended = (result.last_token_s >= within.begin_s) & (result.last_token_s <= within.end_s)
    return float(result.output_tokens[ended].sum()) / within.length_s


def throughput_rps(result: SimResult, within: Window) -> float:
    """Finished requests a second."""
    if within.length_s <= 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        ended = (result.last_token_s >= within.begin_s) & (result.last_token_s <= within.end_s)
    return float(np.count_nonzero(ended)) / within.length_s


def busy_share(result: SimResult, replicas: int) -> float:
    """Share of the replicas' time, from 0 to the end, in which a step was running.

    A batching engine is busy as soon as one request runs: near 1 does not mean that it is at capacity.
    """
    return result.step_time_s / (replicas * result.end_s) if result.end_s > 0 else 0.0


def acceptance_length(result: SimResult) -> float:
    """Mean tokens a verify step over finished requests; 1 without speculation."""
    steps = int(result.verify_steps[result.done].sum())
    return float((result.output_tokens[result.done] - 1).sum()) / steps if steps else 1.0
