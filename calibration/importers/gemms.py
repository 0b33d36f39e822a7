"""Matrix products (m, k) x (k, n) between the measured shapes.

Seconds are interpolated linearly in log m, log n and log k: exact where time follows a power law,
as it does in the memory-bound and in the compute-bound range. Beyond the largest shape time grows
in proportion to the size. How good this is between the points: `cross_validation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from calibration.importers.tables import Rows, Tables

Array = NDArray[np.float64]

_DTYPES = {"bfloat16": "bfloat16", "fp8": "fp8"}


@dataclass(frozen=True, slots=True)
class GemmTable:
    """Measured seconds on a grid, indexed [m][n][k], axes rising."""

    m: Array
    n: Array
    k: Array
    seconds: Array

    def at(self, m: Array, n: float, k: float) -> Array:
        """Seconds of products of m rows each (m may be any positive numbers)."""
        along_n, along_k = _place(self.n, n), _place(self.k, k)
        logs = np.log(self.seconds)
        at_shape = np.zeros(len(self.m))
        for row, row_share in along_n.corners:
            for column, column_share in along_k.corners:
                at_shape += row_share * column_share * logs[:, row, column]
        beyond = max(along_n.beyond, 0.0) + max(along_k.beyond, 0.0)
        wanted = np.log(np.maximum(m, 1.0))
        axis = np.log(self.m)
        logs_at = np.interp(wanted, axis, at_shape) + np.maximum(wanted - axis[-1], 0.0)
        return np.asarray(np.exp(logs_at + beyond))

    def distance(self, n: float, k: float) -> float:
        """How many times a shape lies beyond the measured ones, in n or in k; 1 within them."""
        return float(max(1.0, n / self.n[-1], k / self.k[-1], self.n[0] / n, self.k[0] / k))

    def reduced(self, m: tuple[float, ...], n: tuple[float, ...], k: tuple[float, ...]) -> GemmTable:
        """The same table at fewer points (each of them measured)."""
        picks = [
            np.flatnonzero(np.isin(axis, want)) for axis, want in ((self.m, m), (self.n, n), (self.k, k))
        ]
        return GemmTable(self.m[picks[0]], self.n[picks[1]], self.k[picks[2]], self.seconds[np.ix_(*picks)])


@dataclass(frozen=True, slots=True)
class _Place:
    corners: tuple[tuple[int, float], ...]
    beyond: float


def _place(axis: Array, value: float) -> _Place:
    """Neighbours of a value on a log axis with their shares, and how far it lies beyond the end (in logs)."""
    inside = min(max(value, axis[0]), axis[-1])
    left = min(max(int(np.searchsorted(axis, inside, side="right")) - 1, 0), len(axis) - 2)
    share = math.log(inside / axis[left]) / math.log(axis[left + 1] / axis[left])
    return _Place(((left, 1.0 - share), (left + 1, share)), math.log(value / axis[-1]))


def gemm_table(tables: Tables, dtype: str) -> GemmTable | None:
    """Read the GEMM table of one weight type; None where the engine has none.

    Holes (shapes that did not fit the measuring device) are filled from the next smaller shape in
    proportion to the size; of repeats the (upper) median counts. Per-tensor fp8 only, because block scales
    are another kernel.

    Raises:
        InputError: m, n or k has a single value, so that nothing can be interpolated.
    """
    rows = tables.rows("gemm", ("gemm_dtype", "m", "n", "k", "latency")).where(gemm_dtype=_DTYPES[dtype])
    if not len(rows):
        return None
    rows = _regular(rows)
    axes = [np.unique(rows.number(name)) for name in ("m", "n", "k")]
    if any(len(axis) < 2 for axis in axes):
        raise InputError(f"{rows.path}: has a single value of m, n or k; allowed: at least two of each.")
    places = [
        np.searchsorted(axis, rows.number(name)) for axis, name in zip(axes, ("m", "n", "k"), strict=True)
    ]
    shape = tuple(len(axis) for axis in axes)
    cells, latency = np.ravel_multi_index(places, shape), rows.number("latency")
    order = np.lexsort((latency, cells))
    where, first, repeats = np.unique(cells[order], return_index=True, return_counts=True)
    seconds = np.full(math.prod(shape), np.nan)
    seconds[where] = 1e-3 * latency[order][first + repeats // 2]
    seconds = seconds.reshape(shape)
    m, n, k = axes
    return GemmTable(m, n, k, _filled(seconds, axes, rows.path))


def _regular(rows: Rows) -> Rows:
    """Leave out values of m, n, k with fewer than half of the usual shapes: measured for something else."""
    for name in ("m", "n", "k"):
        values, place, counts = np.unique(rows.number(name), return_inverse=True, return_counts=True)
        keep = (2 * counts >= np.median(counts))[place]
        if len(values) > 1 and not keep.all():
            rows = Rows(rows.path, {key: column[keep] for key, column in rows.columns.items()})
    return rows


def _filled(seconds: Array, axes: list[Array], source: str) -> Array:
    filled = seconds.copy()
    for axis in (2, 1, 0):
        moved = np.moveaxis(filled, axis, 0)
        for index in range(1, len(axes[axis])):
            ratio = axes[axis][index] / axes[axis][index - 1]
            moved[index] = np.where(np.isnan(moved[index]), moved[index - 1] * ratio, moved[index])
    if np.isnan(filled).any():
        raise InputError(f"{source}: lacks the smallest shapes; allowed: a grid over m, n and k.")
    return filled


def cross_validation(table: GemmTable, *, smallest: int = 1024, largest: int = 16384) -> Array:
    """Relative errors of predicting measured shapes from their neighbours in n alone and in k alone.

    Every measured n (then k) between `smallest` and `largest` is left out in turn and predicted from
    the others. A model's shapes lie on the grid in most directions, so its sum errs less than this.
    """
    across = GemmTable(table.m, table.k, table.n, table.seconds.swapaxes(1, 2))
    return np.asarray(_left_out(table, smallest, largest) + _left_out(across, smallest, largest))


def _left_out(table: GemmTable, smallest: int, largest: int) -> list[float]:
    """Errors of each inner n of a table, predicted without it, at every m and every k in the range."""
    errors: list[float] = []
    for index in range(1, len(table.n) - 1):
        if not smallest <= table.n[index] <= largest:
            continue
        keep = np.delete(np.arange(len(table.n)), index)
        thinner = GemmTable(table.m, table.n[keep], table.k, table.seconds[:, keep])
        for column in np.flatnonzero((table.k >= smallest) & (table.k <= largest)):
            guess = thinner.at(table.m, float(table.n[index]), float(table.k[column]))
            errors += (guess / table.seconds[:, index, column] - 1.0).tolist()
    return errors
