"""Products between and beyond the measured shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.importers.gemms import GemmTable, _regular, cross_validation, gemm_table
from calibration.importers.tables import Rows, Tables
from tests.calibration.synthetic import gemm_ms

SIZE = st.floats(64, 65536)


@pytest.fixture(scope="module")
def table(tables: Tables) -> GemmTable:
    found = gemm_table(tables, "bfloat16")
    assert found is not None
    return found


@settings(max_examples=50)
@given(m=st.floats(1, 4096), n=SIZE, k=SIZE)
def test_a_power_law_is_met_everywhere_inside(table: GemmTable, m: float, n: float, k: float) -> None:
    assert table.at(np.asarray([m]), n, k)[0] == pytest.approx(1e-3 * gemm_ms(m, n, k), rel=1e-9)


def test_beyond_the_largest_shape_time_grows_with_the_size(table: GemmTable) -> None:
    edge = table.at(np.asarray([8.0]), 65536, 4096)[0]
    assert table.at(np.asarray([8.0]), 131072, 4096)[0] == pytest.approx(2 * edge)
    tall = table.at(np.asarray([4096.0, 8192.0]), 4096, 4096)
    assert tall[1] == pytest.approx(2 * tall[0])


def test_below_the_smallest_shape_time_is_held(table: GemmTable) -> None:
    assert table.at(np.asarray([8.0]), 8, 512)[0] == pytest.approx(table.at(np.asarray([8.0]), 64, 512)[0])


def test_a_hole_is_filled_in_proportion_to_the_size(tables: Tables) -> None:
    rows = tables.rows("gemm", ("gemm_dtype", "m", "n", "k", "latency"))
    keep = ~((rows.number("n") == 65536) & (rows.number("k") == 65536))
    thinned = type(rows)(rows.path, {name: column[keep] for name, column in rows.columns.items()})
    filled = gemm_table(_Fixed(thinned), "bfloat16")  # type: ignore[arg-type]
    assert filled is not None
    corner = filled.at(np.asarray([1.0]), 65536, 65536)[0]
    assert corner == pytest.approx(1e-3 * gemm_ms(1, 65536, 16384) * 4)


def test_of_repeats_the_median_counts(tables: Tables) -> None:
    rows = tables.rows("gemm", ("gemm_dtype", "m", "n", "k", "latency"))
    thrice = {name: np.concatenate([column] * 3) for name, column in rows.columns.items()}
    thrice["latency"] = thrice["latency"] * np.repeat([1.0, 100.0, 0.01], len(rows))
    found = gemm_table(_Fixed(type(rows)(rows.path, thrice)), "bfloat16")  # type: ignore[arg-type]
    assert found is not None
    assert found.at(np.asarray([8.0]), 512, 1024)[0] == pytest.approx(1e-3 * gemm_ms(8, 512, 1024))


def test_cross_validation_of_a_power_law_is_zero(table: GemmTable) -> None:
    errors = cross_validation(table)
    assert len(errors) > 0
    assert np.abs(errors).max() < 1e-9


def test_cross_validation_sees_a_kink(table: GemmTable) -> None:
    bent = table.seconds.copy()
    bent[:, list(table.n).index(4096), :] *= 1.5
    errors = cross_validation(GemmTable(table.m, table.n, table.k, bent))
    assert errors.min() == pytest.approx(1 / 1.5 - 1)


class _Fixed:
    """Tables that return the same rows."""

    def __init__(self, rows: object) -> None:
        self._rows = rows

    def rows(self, *_: object, **__: object) -> object:
        return self._rows


def test_a_value_that_few_shapes_have_is_left_out() -> None:
    """As in a table that measured n = 1 for a single k: it would be a hole at the smallest shape."""
    shapes = [(m, n, k) for m in (1, 8) for n in (8, 64) for k in (16, 32, 64, 128)]
    grid = np.asarray([*shapes, (1, 1, 128), (8, 1, 128)], dtype=np.float64)
    columns = dict(zip(("m", "n", "k"), grid.T, strict=True))
    regular = _regular(Rows("x", columns | {"latency": np.ones(len(grid))}))
    assert len(regular) == len(shapes)
    assert regular.number("n").min() == 8
    assert len(_regular(regular)) == len(shapes)
