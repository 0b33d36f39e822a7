"""Terms of a model from tables with known laws, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.hardware import device
from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.spec.spec import Origin, WeightsDtype
from calibration.importers.all_reduce import AllReduceTable
from calibration.importers.attention import NEW_TOKENS, DecodeTable, Heads, PrefillTable
from calibration.importers.dense import KERNEL_S, elementwise_s, knots, rising
from calibration.importers.lora_gemms import fit_lora, lora_gemms_s
from calibration.importers.model_terms import Operators
from calibration.importers.tables import Tables
from tests.calibration.synthetic import DECODE_START_MS, DECODE_TOKEN_MS, PAIR_MS, REDUCE_MS, gemm_ms

LLAMA = model("Llama-3.1-8B")


def test_elementwise_bytes_by_hand() -> None:
    """Llama-3.1-8B: 16·4096 + 4·(4096 + 1024) + 8·1024 + 6·14336 bytes a token and layer, 0.75 of 1 TB/s."""
    token = 16 * 4096 + 4 * 5120 + 8 * 1024 + 6 * 14336
    one, many = elementwise_s(LLAMA, 1, np.asarray([0.0, 1000.0]), 1e12)
    assert one == pytest.approx(32 * 5 * KERNEL_S)
    assert many - one == pytest.approx(32 * token * 1000 / 0.75e12)


def test_dense_and_head_sum_the_four_packed_products(tables: Tables) -> None:
    terms = Operators(tables, device("H100-80-SXM"), 512).terms(LLAMA, 1)
    shapes = ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336))
    products = 1e-3 * 32 * sum(gemm_ms(8, n, k) for n, k in shapes)
    small = elementwise_s(LLAMA, 1, np.asarray([8.0]), 3350e9)[0]
    at = terms.dense.x.index(8.0)
    assert terms.dense.y_s[at] == pytest.approx(products + small, rel=1e-4)
    assert terms.head.y_s[0] > 1e-3 * gemm_ms(1, 65536, 4096) * 128256 / 65536


def test_two_devices_share_the_products(tables: Tables) -> None:
    operators = Operators(tables, device("H100-80-SXM"), 512)
    one, two = (operators.terms(LLAMA, degree) for degree in (1, 2))
    assert one.all_reduce is None
    assert two.all_reduce is not None
    assert two.dense.y_s[-1] < one.dense.y_s[-1]


def test_decode_attention_is_the_known_line_and_scales_with_kv_heads(tables: Tables) -> None:
    fit = DecodeTable(tables).fit(Heads(32, 8, 128))
    assert fit.fixed_s[0] == pytest.approx(1e-3 * DECODE_START_MS, rel=0.01)
    for slope in fit.per_context_token_s:
        assert slope == pytest.approx(1e-3 * DECODE_TOKEN_MS, rel=0.05)
    quarter = DecodeTable(tables).fit(Heads(8, 2, 128))
    assert quarter.per_context_token_s[6] == pytest.approx(fit.per_context_token_s[6] / 4, rel=0.05)


def test_prompt_attention_takes_the_marginal_cost_and_adds_pairs_of_context(tables: Tables) -> None:
    grid = PrefillTable(tables).grid(Heads(32, 8, 128))
    small = NEW_TOKENS.index(256)
    assert grid[small, 0] == pytest.approx(
        1e-3 * 0.5 * 256 * 256 * PAIR_MS, rel=1e-6
    )  # the launch is not in it
    pair_s = 1e-3 * (0.01 + 0.5 * 16384**2 * PAIR_MS) / (0.5 * 16384**2)
    assert grid[small, 3] - grid[small, 0] == pytest.approx(8192 * 256 * pair_s)
    assert (np.diff(grid, axis=0) >= 0).all()
    assert (np.diff(grid, axis=1) > 0).all()


def test_heads_that_were_not_measured_lie_between_those_that_were(tables: Tables) -> None:
    rows = tables.rows("attention_decode", ("num_heads", "num_key_value_heads", "latency"))
    assert set(rows.where(num_key_value_heads=8).number("num_heads")) == {32.0}
    with pytest.raises(InputError, match="no attention of 40 heads over 8 KV heads of size 128"):
        DecodeTable(tables).fit(Heads(40, 8, 128))


def test_all_reduce_runs_in_the_graph_up_to_the_largest_captured_step(tables: Tables) -> None:
    table = AllReduceTable(tables, largest_graph=512)
    inside, outside = table.seconds(LLAMA, 2, np.asarray([512.0, 513.0]))
    assert inside == pytest.approx(2 * 32 * 1e-3 * REDUCE_MS)
    assert outside == pytest.approx(2 * 32 * 4e-3 * REDUCE_MS)
    with pytest.raises(InputError, match="no all-reduce for this number of devices"):
        table.seconds(LLAMA, 3, np.asarray([1.0]))


def test_lora_products_by_hand_and_their_fit(tables: Tables) -> None:
    table = Operators(tables, device("H100-80-SXM"), 512).gemm(WeightsDtype.BFLOAT16)
    assert table is not None
    shrink = ((192, 4096), (64, 4096), (128, 4096), (64, 14336))
    expand = ((6144, 64), (4096, 64), (28672, 64), (4096, 64))
    by_hand = 1e-3 * 32 * sum(gemm_ms(512, n, k) for n, k in shrink + expand)
    assert lora_gemms_s(table, LLAMA, 1, np.asarray([512.0]), 64)[0] == pytest.approx(by_hand, rel=1e-6)
    assert all(value >= 0 for value in fit_lora(table, LLAMA, 1).values.values())


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_rising_rises_and_keeps_the_mean_of_logs(values: list[float]) -> None:
    given_values = np.asarray(values)
    result = rising(given_values)
    assert (np.diff(result) >= -1e-12).all()
    assert np.log(result).mean() == pytest.approx(np.log(given_values).mean(), abs=1e-9)


def test_rising_leaves_a_rising_curve_alone() -> None:
    np.testing.assert_allclose(rising(np.asarray([1.0, 2.0, 2.0, 5.0])), [1.0, 2.0, 2.0, 5.0])


@given(st.lists(st.floats(0.1, 10.0), min_size=3, max_size=60), st.floats(0.001, 0.2))
def test_straight_lines_through_the_knots_stay_close_to_every_point(steps: list[float], error: float) -> None:
    x = np.arange(float(len(steps)))
    y = np.cumsum(steps)
    keep = knots(x, y, error=error)
    assert keep[0] == 0
    assert keep[-1] == len(steps) - 1
    off = np.abs(np.interp(x, x[keep], y[keep]) / y - 1)
    assert off.max() <= error + 1e-9


def test_products_beyond_the_table_are_marked_and_past_twice_refused(tables: Tables) -> None:
    """The synthetic table ends at 65,536: gate and up of 98,304 are half as far again, of 196,608 thrice."""
    operators = Operators(tables, device("H100-80-SXM"), 512)
    inside = operators.terms(LLAMA, 1).dense
    half = operators.terms(LLAMA.model_copy(update={"intermediate_size": 49152}), 1).dense
    assert inside.origin is Origin.MEASURED
    assert half.origin is Origin.EXTRAPOLATED
    assert "1.50 times beyond the measured" in half.source
    assert half.interval[1] > inside.interval[1] + 0.05
    with pytest.raises(InputError, match=r"product of n = 196608 .*allowed: at most 2 times beyond"):
        operators.terms(LLAMA.model_copy(update={"intermediate_size": 98304}), 1)
