"""Figures of a simulation and of a replay by the same definitions, and how far apart two runs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from advisor.replayed import ReplayResult
from advisor.sim.result import SimResult
from advisor.spec.spec import Spec

Floats = NDArray[np.float64]
PERCENTILES: Final = (50, 90, 99)
LATENCIES: Final = ("ttft", "tpot", "itl", "e2e")
SHARES: Final = tuple(index / 40 for index in range(41))
"""Of requests: where a distribution is kept."""


class _Run(Protocol):
    @property
    def done(self) -> NDArray[np.bool_]: ...
    @property
    def output_tokens(self) -> NDArray[np.int64]: ...
    @property
    def ttft_s(self) -> Floats: ...
    @property
    def tpot_s(self) -> Floats: ...
    @property
    def e2e_s(self) -> Floats: ...


class Figures(Spec):
    """What is compared. Latencies: percentile -> seconds, over answered requests."""

    ttft_s: dict[str, float]
    tpot_s: dict[str, float] = Field(description="Answers of at least two tokens.")
    itl_s: dict[str, float] = Field(description="Gaps between emissions, each counted once a request.")
    e2e_s: dict[str, float]
    output_tokens_per_s: float = Field(description="All answered tokens over the time to the last one.")
    load_s: float = Field(description="Adapter loads, summed.")
    acceptance_length: float = Field(description="Tokens a verify step; 1 without speculation.")
    answered: int
    asked: int


def figures_of(run: SimResult | ReplayResult) -> Figures:
    """Figures of a prediction or of a measurement."""
    done = run.done
    tokens = run.output_tokens[done]
    span_s = float(np.nanmax(run.last_token_s)) if done.any() else 0.0
    steps = int(run.verify_steps[done].sum())
    return Figures(
        ttft_s=_percentiles(run.ttft_s[done]),
        tpot_s=_percentiles(run.tpot_s[done & (run.output_tokens > 1)]),
        itl_s=_percentiles(_gaps(run)),
        e2e_s=_percentiles(run.e2e_s[done]),
        output_tokens_per_s=float(tokens.sum()) / span_s if span_s > 0 else 0.0,
        load_s=run.load_s if isinstance(run, SimResult) else (run.header.counters or {}).get("load_s", 0.0),
        acceptance_length=float((tokens - 1).sum()) / steps if steps else 1.0,
        answered=int(done.sum()),
        asked=len(run.arrival_s),
    )


def _gaps(run: SimResult | ReplayResult) -> Floats:
    """Gaps between emissions. A simulation holds each distinct one with how many sequences felt it."""
    if isinstance(run, ReplayResult):
        return run.itl_s
    return np.repeat(run.itl_s, run.itl_weight)


def _percentiles(values: Floats) -> dict[str, float]:
    if not len(values):
        return {f"p{p}": 0.0 for p in PERCENTILES}
    found = np.percentile(values, PERCENTILES)
    return {f"p{p}": float(v) for p, v in zip(PERCENTILES, found, strict=True)}


def errors(predicted: Figures, measured: Figures) -> dict[str, float]:
    """Signed relative error of every cell, such as `ttft p50`; cells that were not measured are left out."""
    found: dict[str, float] = {}
    for latency in LATENCIES:
        left, right = getattr(predicted, f"{latency}_s"), getattr(measured, f"{latency}_s")
        for name, value in right.items():
            if value > 0:
                found[f"{latency} {name}"] = left[name] / value - 1.0
    if measured.output_tokens_per_s > 0:
        found["throughput"] = predicted.output_tokens_per_s / measured.output_tokens_per_s - 1.0
    if measured.load_s > 0:
        found["adapter loads"] = predicted.load_s / measured.load_s - 1.0
    if measured.acceptance_length > 1.0:
        found["acceptance length"] = predicted.acceptance_length / measured.acceptance_length - 1.0
    return found


def median_figures(all_figures: list[Figures]) -> Figures:
    """The median of several runs, figure by figure: one slow minute of the machine does not decide."""

    def median(values: list[Mapping[str, float]]) -> dict[str, float]:
        return {name: float(np.median([value[name] for value in values])) for name in values[0]}

    first = all_figures[0]
    return Figures(
        **{f"{name}_s": median([getattr(f, f"{name}_s") for f in all_figures]) for name in LATENCIES},
        output_tokens_per_s=float(np.median([f.output_tokens_per_s for f in all_figures])),
        load_s=float(np.median([f.load_s for f in all_figures])),
        acceptance_length=float(np.median([f.acceptance_length for f in all_figures])),
        answered=min(f.answered for f in all_figures),
        asked=first.asked,
    )


class Distance(Spec):
    """How far apart two distributions are."""

    kolmogorov_smirnov: float = Field(description="Largest difference of the distribution functions, 0 to 1.")
    wasserstein: float = Field(description="Mean way that probability must move, over the second's mean.")


def distance(left: Floats, right: Floats) -> Distance:
    """Kolmogorov-Smirnov and Wasserstein distance of two samples (any unit, any size); of an empty one: 1.

    Both are bare ratios: Wasserstein's is the mean way that probability moves over the mean of `right`.
    """
    if not len(left) or not len(right):
        return Distance(kolmogorov_smirnov=1.0, wasserstein=1.0)
    from scipy.stats import ks_2samp, wasserstein_distance

    mean = float(np.mean(right))
    moved = float(wasserstein_distance(left, right))
    return Distance(
        kolmogorov_smirnov=float(ks_2samp(left, right).statistic),
        wasserstein=moved / mean if mean > 0 else 0.0,
    )


def distances(left: _Run, right: _Run) -> dict[str, Distance]:
    """Of TTFT, TPOT and E2E."""
    return {name: distance(_latency(left, name), _latency(right, name)) for name in ("ttft", "tpot", "e2e")}


class Curves(Spec):
    """One latency's distribution: its quantiles at `SHARES`, seconds."""

    predicted_s: tuple[float, ...]
    replays_s: tuple[tuple[float, ...], ...]


def curves(predicted: _Run, replays: Sequence[_Run]) -> dict[str, Curves]:
    """Distributions of TTFT, TPOT and E2E; none where a run answered nothing."""
    found = {}
    for name in ("ttft", "tpot", "e2e"):
        samples = [_latency(run, name) for run in (predicted, *replays)]
        if all(len(values) for values in samples):
            first, *others = (tuple(np.quantile(values, SHARES).tolist()) for values in samples)
            found[name] = Curves(predicted_s=first, replays_s=tuple(others))
    return found


def _latency(run: _Run, name: str) -> Floats:
    """Of answered requests; TPOT: of answers of at least two tokens."""
    counts = run.done & (run.output_tokens > 1) if name == "tpot" else run.done
    values: Floats = getattr(run, f"{name}_s")[counts]
    return values
