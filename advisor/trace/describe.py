"""What a trace is like, in figures."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from pydantic import Field

from advisor.spec.spec import Spec
from advisor.trace.prefixes import hit_ratio, reuse_of
from advisor.trace.trace import BASE, Floats, Ints, Trace

DISPERSION_WINDOWS_S: Final = (1.0, 10.0, 60.0)
_TOP: Final = 10
_PEAK_WINDOW_S: Final = 60.0
_FEWEST_FOR_ZIPF: Final = 3


class LengthFigures(Spec):
    """Tokens."""

    mean: float
    p1: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    max: int


class Dispersion(Spec):
    """Variance over mean of the arrivals in windows of this length: 1 is Poisson; None: under two windows."""

    window_s: float
    index: float | None


class AdapterShare(Spec):
    """An adapter and its part of all requests to adapters."""

    name: str
    share: float


class AdapterFigures(Spec):
    """How requests spread over the adapters that the trace names."""

    count: int
    base_share: float = Field(description="Part of all requests that names none.")
    top: tuple[AdapterShare, ...] = Field(description="The ten most asked for.")
    zipf_exponent: float | None = Field(
        description="Slope of log share over log place, top half; None under 3 places."
    )


class PrefixFigures(Spec):
    """What prompts share."""

    block_tokens: int
    hit_ratio: float = Field(description="Part of all prompt tokens that an endless prefix cache finds.")
    sharing: float = Field(
        description="Part of the requests that share at least a block with an earlier one."
    )


class Description(Spec):
    """Figures of a trace."""

    schema_version: Literal[1] = 1
    name: str
    requests: int
    duration_s: float
    rate_rps: float
    peak_rate_rps: float = Field(description="Busiest minute.")
    gap_cv: float | None = Field(description="Standard deviation over mean of the gaps between arrivals.")
    dispersion: tuple[Dispersion, ...]
    prompt_tokens: LengthFigures | None
    output_tokens: LengthFigures | None
    rank_correlation: float | None = Field(description="Spearman's, of prompt and output lengths.")
    adapters: AdapterFigures | None
    prefixes: PrefixFigures | None
    notes: tuple[str, ...] = ()


def describe(trace: Trace) -> Description:
    """Measure a trace."""
    return Description(
        name=trace.name,
        requests=len(trace),
        duration_s=trace.duration_s,
        rate_rps=trace.rate_rps,
        peak_rate_rps=_peak_rate_rps(trace.arrival_s),
        gap_cv=gap_cv(trace.arrival_s),
        dispersion=tuple(
            Dispersion(window_s=w, index=dispersion(trace.arrival_s, w)) for w in DISPERSION_WINDOWS_S
        ),
        prompt_tokens=_lengths(trace.prompt_tokens),
        output_tokens=_lengths(trace.output_tokens),
        rank_correlation=rank_correlation(trace.prompt_tokens, trace.output_tokens),
        adapters=_adapters(trace) if trace.adapters else None,
        prefixes=_prefixes(trace),
        notes=trace.notes,
    )


def gap_cv(arrival_s: Floats) -> float | None:
    """Coefficient of variation of the gaps: 1 for Poisson; None below three arrivals or without a gap.

    Args:
        arrival_s: rising, shape (requests,).
    """
    gaps = np.diff(arrival_s)
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.mean() > 0 else None


def counts(arrival_s: Floats, window_s: float) -> Ints:
    """Arrivals (requests,), seconds, counted in each whole window from 0 to the last, shape (windows,)."""
    windows = int(arrival_s[-1] // window_s) if len(arrival_s) else 0
    place = (arrival_s // window_s).astype(np.int64)
    return np.bincount(place[place < windows], minlength=windows)


def dispersion(arrival_s: Floats, window_s: float) -> float | None:
    """Index of dispersion of counts, var N / mean N: 1 for Poisson; None below two whole windows.

    Source: Cox and Lewis 1966, The Statistical Analysis of Series of Events.

    Args:
        arrival_s: rising, shape (requests,).
        window_s: width of a window.
    """
    number = counts(arrival_s, window_s)
    return float(number.var() / number.mean()) if len(number) > 1 and number.any() else None


def rank_correlation(one: Ints, other: Ints) -> float | None:
    """Spearman's rank correlation of two columns (requests,), -1 to 1, ties at their mean rank.

    None where one of them does not vary.
    """
    if len(one) < 2:
        return None
    a, b = _ranks(one), _ranks(other)
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else None


def zipf_exponent(shares: Floats) -> float | None:
    """Exponent of share ~ place^-exponent by least squares on logarithms, over the top half of the places."""
    used = np.sort(shares[shares > 0])[::-1]
    top = used[: max(_FEWEST_FOR_ZIPF, (len(used) + 1) // 2)]
    if len(top) < _FEWEST_FOR_ZIPF:
        return None
    place = np.log(np.arange(1, len(top) + 1))
    centred = place - place.mean()
    return float(-(centred * np.log(top)).sum() / (centred**2).sum())


def _ranks(values: Ints) -> Floats:
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(number) - (number - 1) / 2)[place], dtype=float)


def _peak_rate_rps(arrival_s: Floats) -> float:
    if not len(arrival_s):
        return 0.0
    per_minute = np.bincount((arrival_s // _PEAK_WINDOW_S).astype(np.int64))
    return float(per_minute.max() / min(_PEAK_WINDOW_S, max(float(arrival_s[-1]), 1.0)))


def _lengths(tokens: Ints) -> LengthFigures | None:
    if not len(tokens):
        return None
    p1, p25, p50, p75, p90, p95, p99 = np.quantile(tokens, (0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)).tolist()
    top, mean = int(tokens.max()), float(tokens.mean())
    return LengthFigures(mean=mean, p1=p1, p25=p25, p50=p50, p75=p75, p90=p90, p95=p95, p99=p99, max=top)


def _adapters(trace: Trace) -> AdapterFigures:
    named = trace.adapter[trace.adapter != BASE]
    number = np.bincount(named, minlength=len(trace.adapters))
    shares = number / max(1, len(named))
    order = np.argsort(-shares, kind="stable")[:_TOP]
    return AdapterFigures(
        count=len(trace.adapters),
        base_share=1 - len(named) / len(trace) if len(trace) else 0.0,
        top=tuple(AdapterShare(name=trace.adapters[i], share=float(shares[i])) for i in order),
        zipf_exponent=zipf_exponent(shares),
    )


def _prefixes(trace: Trace) -> PrefixFigures | None:
    if trace.prefixes is None:
        return None
    reuse = reuse_of(trace)
    sharing = float(np.mean(reuse.depth > 0)) if len(trace) else 0.0
    return PrefixFigures(
        block_tokens=trace.prefixes.block_tokens, hit_ratio=hit_ratio(trace, reuse), sharing=sharing
    )
