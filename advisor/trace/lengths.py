"""How long prompts and answers are: laws as inverse distribution functions of uniform numbers."""

from __future__ import annotations

from typing import Final

import numpy as np

from advisor.spec.workload import FixedLength, Length, LognormalLength, QuantileLength, UniformLength
from advisor.trace.trace import Floats, Ints

_Z95: Final = 1.6448536269514722  # standard normal quantile at 0.95


def lengths(law: Length, uniform: Floats) -> Ints:
    """Tokens at the given places in [0, 1) of the law's distribution; same shape, whole, at least 1."""
    match law:
        case FixedLength():
            return np.full(len(uniform), law.tokens, dtype=np.int64)
        case UniformLength():
            return (law.low + np.floor(uniform * (law.high - law.low + 1))).astype(np.int64)
        case LognormalLength():
            return _lognormal(law, uniform)
        case QuantileLength():
            return whole(np.interp(uniform, law.probabilities, law.tokens))


def whole(tokens: Floats) -> Ints:
    """Tokens rounded to whole ones, at least 1; same shape."""
    return np.maximum(np.rint(tokens), 1).astype(np.int64)


def _lognormal(law: LognormalLength, uniform: Floats) -> Ints:
    """exp(μ + σ z): μ = ln median, σ = (ln p95 - ln median) / z95, cut to [1, maximum]."""
    from scipy.special import ndtri

    mu = np.log(law.median)
    sigma = (np.log(law.p95) - mu) / _Z95
    tail = np.maximum(uniform, 2.0**-53)
    with np.errstate(over="ignore"):
        tokens = np.exp(mu + sigma * ndtri(tail))
    return np.minimum(whole(np.minimum(tokens, law.maximum)), law.maximum)
