"""Robust, non-negative least squares with bootstrap intervals: how coefficients are read off measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError

Array = NDArray[np.float64]

_HUBER = 1.345
"""Huber's tuning constant: 95 % efficiency on normal noise (Huber 1981)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients of y = Σ c_i · x_i, each at least zero, with what the data say about them.

    Attributes:
        values: one coefficient a column, in the column's unit.
        low: 5th percentile of the bootstrap.
        high: 95th percentile of the bootstrap.
        relative_residuals: (predicted - measured) / measured of every row.
    """

    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    relative_residuals: tuple[float, ...]

    @property
    def median_absolute(self) -> float:
        """Median of the absolute relative residuals."""
        return float(np.median(np.abs(self.relative_residuals)))

    @property
    def p90_absolute(self) -> float:
        """90th percentile of the absolute relative residuals."""
        return float(np.quantile(np.abs(self.relative_residuals), 0.9))


def fit_non_negative(
    columns: Mapping[str, Array],
    measured: Array,
    *,
    relative: bool = True,
    weights: Array | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> Fit:
    """Fit y = Σ c_i · x_i with c_i ≥ 0 and Huber's loss.

    Iteratively reweighted non-negative least squares (Lawson and Hanson 1974); rows that lie more
    than 1.345 robust standard deviations off count less. The bootstrap resamples rows.

    Args:
        columns: x_i by name, one value a row each.
        measured: y, one positive value a row.
        relative: weigh each row by 1 / y, so that residuals are relative ones.
        weights: how much each row counts besides; 1 where left out.
        resamples: bootstrap resamples; 0 leaves low and high at the value.
        seed: of the bootstrap.

    Raises:
        InputError: fewer rows than columns, a length that differs, or values that are not finite or positive.
    """
    names = list(columns)
    design = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in names])
    target = np.asarray(measured, dtype=np.float64)
    if len(design) != len(target) or len(target) < len(names):
        raise InputError(
            f"fit: has {len(target)} measurements for {len(names)} coefficients ({', '.join(names)}); "
            "allowed: at least one a coefficient. Measure more points."
        )
    if not (np.isfinite(design).all() and np.isfinite(target).all() and (target > 0).all()):
        raise InputError("fit: a measurement is not a positive finite number; allowed: positive seconds.")
    scale = 1.0 / target if relative else np.ones_like(target)
    scale = scale if weights is None else scale * np.sqrt(weights)
    solved = _solve(design, target, scale)
    low, high = _bootstrap(design, target, scale, solved, resamples=resamples, seed=seed)
    residuals = (design @ solved - target) / target
    return Fit(
        values=dict(zip(names, solved.tolist(), strict=True)),
        low=dict(zip(names, low.tolist(), strict=True)),
        high=dict(zip(names, high.tolist(), strict=True)),
        relative_residuals=tuple(residuals.tolist()),
    )


def _solve(design: Array, target: Array, scale: Array, rounds: int = 12) -> Array:
    """Huber's loss by reweighting, columns scaled to one another first (seconds a byte are small numbers)."""
    from scipy.optimize import nnls

    size = np.abs(design * scale[:, None]).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    scaled, aim = design * scale[:, None] / size, target * scale
    weight = np.ones(len(target))
    solved = np.zeros(design.shape[1])
    for _ in range(rounds):
        root = np.sqrt(weight)
        new = nnls(scaled * root[:, None], aim * root)[0]
        error = np.abs(scaled @ new - aim)
        spread = max(1.4826 * float(np.median(error)), 1e-9 * float(np.abs(aim).max()))
        weight = np.minimum(1.0, _HUBER * spread / np.maximum(error, 1e-300))
        if np.allclose(new, solved, rtol=1e-10, atol=0.0):
            break
        solved = new
    return np.asarray(solved / size)


def _bootstrap(
    design: Array, target: Array, scale: Array, solved: Array, *, resamples: int, seed: int
) -> tuple[Array, Array]:
    """5th and 95th percentile of the coefficients over resampled rows."""
    if not resamples:
        return solved, solved
    random = np.random.default_rng(seed)
    draws = np.empty((resamples, len(solved)))
    for number in range(resamples):
        rows = random.integers(0, len(target), len(target))
        draws[number] = _solve(design[rows], target[rows], scale[rows])
    return np.asarray(np.quantile(draws, 0.05, axis=0)), np.asarray(np.quantile(draws, 0.95, axis=0))
