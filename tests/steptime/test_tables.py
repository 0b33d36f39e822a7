"""Curves at whole numbers, prompt attention between the points, LoRA cost by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.profile import Curve, LoraTerm, PrefillAttention
from advisor.spec.model import adapter_bytes
from advisor.spec.spec import Origin
from advisor.steptime.attention import ChunkAttention, chunk_work
from advisor.steptime.lora import lora_cost
from advisor.steptime.tables import at_every_count, by_count, staircase
from tests.profiles import LLAMA_8B


def curve(x: tuple[float, ...], y_s: tuple[float, ...]) -> Curve:
    return Curve(origin=Origin.MEASURED, source="test", x=x, y_s=y_s)


def test_a_curve_is_linear_between_points_and_goes_on_beyond_the_last() -> None:
    table = at_every_count(curve((1, 3, 5), (1.0, 3.0, 5.0)), 8)
    assert table == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8])


def test_a_dip_of_the_table_is_levelled() -> None:
    assert at_every_count(curve((1, 2, 3), (1.0, 3.0, 2.0)), 3) == [0.0, 1.0, 3.0, 3.0]


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.floats(1e-6, 1.0)), min_size=1, max_size=8, unique_by=lambda p: p[0]
    )
)
def test_more_tokens_never_take_less_time(points: list[tuple[int, float]]) -> None:
    points.sort()
    table = at_every_count(curve(tuple(float(x) for x, _ in points), tuple(y for _, y in points)), 120)
    assert all(b >= a for a, b in pairwise(table))


def test_a_staircase_pays_for_the_next_size() -> None:
    assert staircase([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], (2, 4)) == [0.0, 2.0, 2.0, 4.0, 4.0, 5.0]
    assert staircase([0.0, 1.0], ()) == [0.0, 1.0]


def test_by_count_holds_both_ends() -> None:
    assert by_count((2.0, 4.0), (1.0, 3.0), 6) == [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0]


def power_law() -> ChunkAttention:
    """Seconds 1e-9 · q · (c + 256): a power law on the axes of the interpolation."""
    q, c = (1.0, 16.0, 256.0, 2048.0), (0.0, 512.0, 4096.0)
    grid = tuple(tuple(1e-9 * a * (b + 256) for b in c) for a in q)
    term = PrefillAttention(
        origin=Origin.MEASURED, source="test", new_tokens=q, context_tokens=c, seconds=grid
    )
    return ChunkAttention(term, 2048)


@given(st.integers(1, 2048), st.integers(0, 4096))
def test_a_power_law_is_interpolated_exactly(new: int, context: int) -> None:
    assert power_law().seconds(new, context) == pytest.approx(1e-9 * new * (context + 256), rel=1e-9)


def test_beyond_the_grid_time_grows_with_the_work() -> None:
    here = power_law()
    edge = here.seconds(2048, 4096)
    assert here.seconds(2048, 40_960) == pytest.approx(
        edge * chunk_work(2048, 40_960) / chunk_work(2048, 4096)
    )


def test_lora_cost_by_hand() -> None:
    term = LoraTerm(
        origin=Origin.FITTED, source="test", fixed_s=1e-3, per_slot_s=1e-5, per_slot_token_s=1e-8,
        per_adapter_s=1e-4, per_weight_byte_s=1e-12, per_token_s=1e-6, per_token_rank_s=1e-8,
        base_step_s=7e-6,
    )  # fmt: skip
    cost = lora_cost(term, LLAMA_8B, max_loras=10, max_rank=16)
    weight = adapter_bytes(
        LLAMA_8B, ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), 16
    )
    assert weight == pytest.approx(84e6, rel=0.01)  # design.md section 3
    assert cost.seconds(100, 3) == pytest.approx(
        1e-3 + 10 * 1e-5 + 3 * (1e-4 + weight * 1e-12) + 100 * (10 * 1e-8 + 1e-6 + 16 * 1e-8)
    )
    assert cost.seconds(100, 0) == 7e-6
    attention_only = lora_cost(
        term, LLAMA_8B, max_loras=10, max_rank=16, modules=("q_proj", "k_proj", "v_proj", "o_proj")
    )
    assert attention_only.constant_s == pytest.approx(cost.constant_s / 2)
