"""The memory plan, by hand for Llama-3.1-8B."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.memory import Room, SlotSpec, plan_memory, slot_bytes
from advisor.profile import MemoryTerm
from advisor.spec.model import ALL_LINEAR
from advisor.spec.spec import Origin
from tests.profiles import LLAMA_8B

TERM = MemoryTerm(origin=Origin.MEASURED, source="test", overhead_bytes=3e9)


def test_a_slot_of_llama_8b_takes_84_mb_at_rank_16() -> None:
    assert slot_bytes(LLAMA_8B, SlotSpec(1, 16, ALL_LINEAR), 1) == pytest.approx(83.9e6, rel=0.01)


def test_tensor_parallelism_shards_one_of_the_two_matrices() -> None:
    one, two = (slot_bytes(LLAMA_8B, SlotSpec(1, 16, ("q_proj",)), tp) for tp in (1, 2))
    assert two == pytest.approx(one * (4096 + 2048) / (4096 + 4096))


def test_what_is_left_is_the_kv_cache() -> None:
    plan = plan_memory(LLAMA_8B, TERM, Room(80e9, 0.9, 1, 16), slots=SlotSpec(8, 16, ALL_LINEAR))
    weights = LLAMA_8B.weights_bytes
    assert weights == pytest.approx(16.06e9, rel=0.01)
    assert plan.kv_bytes == pytest.approx(72e9 - weights - 3e9 - 8 * 83.9e6, rel=1e-3)
    assert plan.kv_tokens == pytest.approx(plan.kv_bytes / 131072, rel=1e-3)  # 128 KiB a token
    assert plan.kv_tokens % 16 == 0


@given(st.integers(0, 200), st.sampled_from([8, 16, 32, 64]), st.sampled_from([1, 2, 4, 8]))
def test_parts_fill_the_usable_memory_and_more_slots_leave_less(count: int, rank: int, tp: int) -> None:
    def plan(slots: int) -> float:
        laid = plan_memory(LLAMA_8B, TERM, Room(80e9, 0.9, tp, 16), slots=SlotSpec(slots, rank, ALL_LINEAR))
        used = laid.weights_bytes + laid.overhead_bytes + laid.slots_bytes + laid.draft_bytes + laid.kv_bytes
        assert used == pytest.approx(laid.usable_bytes) or laid.kv_bytes == 0
        return laid.kv_bytes

    assert plan(count + 1) <= plan(count)


def test_a_model_that_does_not_fit_has_no_blocks() -> None:
    assert plan_memory(LLAMA_8B, TERM, Room(16e9, 0.9, 1, 16)).kv_blocks == 0
