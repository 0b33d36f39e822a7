from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.engine.batch import NO_SLOT, Row, _ladder, step_batch
from calibration.engine.kv import KvCache, paged_attention, paged_attention_reference
from calibration.engine.lora import grouped_product_reference


@settings(max_examples=40)
@given(
    sequences=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 40), st.integers(-1, 2)), min_size=1, max_size=8
    ),
    share=st.sampled_from([1, 3]),
    block_tokens=st.sampled_from([1, 4, 16]),
    seed=st.integers(0, 1000),
)
def test_paged_attention_equals_plain_products_over_any_batch(
    sequences: list[tuple[int, int, int]], share: int, block_tokens: int, seed: int
) -> None:
    torch.manual_seed(seed)
    needed = [-(-(new + context) // block_tokens) for new, context, _ in sequences]
    blocks = torch.randperm(sum(needed)).tolist()
    rows = [
        Row([0] * new, context, [blocks.pop() for _ in range(count)], slot)
        for (new, context, slot), count in zip(sequences, needed, strict=True)
    ]
    batch = step_batch(rows, block_tokens)
    cache = KvCache(*(torch.randn(1, sum(needed), block_tokens, 2, 8) for _ in range(2)))
    query = torch.randn(len(batch.tokens), 2 * share, 8)
    torch.testing.assert_close(
        paged_attention(query, cache, 0, batch), paged_attention_reference(query, cache, 0, batch)
    )


def test_a_batch_sorts_by_slot_and_joins_the_rows_of_one() -> None:
    rows = [
        Row([1, 2], 0, [0], 1, outputs=1),
        Row([3], 5, [1, 2], NO_SLOT, outputs=1),
        Row([4, 5, 6], 0, [3], 0, outputs=2),
        Row([7], 3, [4], 1, outputs=1),
    ]
    batch = step_batch(rows, 4)
    assert batch.tokens.tolist() == [3, 4, 5, 6, 1, 2, 7]
    assert batch.positions.tolist() == [5, 0, 1, 2, 0, 1, 3]
    assert batch.kv_places.tolist() == [9, 12, 13, 14, 0, 1, 19]
    assert batch.lora == ((0, 1, 4), (1, 4, 7))
    assert batch.output_rows.tolist() == [5, 0, 2, 3, 6]  # in the order of the rows given


@given(blocks=st.integers(1, 10_000))
def test_sequences_of_one_attention_group_differ_by_a_factor_of_two_at_most(blocks: int) -> None:
    group = _ladder(blocks)
    assert blocks <= group <= max(8, 2 * blocks - 1)
    assert _ladder(group) == group


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 7), max_size=5),
    base=st.integers(0, 3),
    rank=st.sampled_from([1, 2, 8]),
    seed=st.integers(0, 1000),
)
def test_the_grouped_product_equals_each_tokens_own(
    sizes: list[int], base: int, rank: int, seed: int
) -> None:
    torch.manual_seed(seed)
    tokens = base + sum(sizes)
    slots = torch.randperm(6).tolist()[: len(sizes)]
    groups, at = [], base
    for slot, size in zip(slots, sizes, strict=True):
        groups.append((slot, at, at + size))
        at += size
    x, out = torch.randn(tokens, 12), torch.randn(tokens, 9)
    a = torch.randn(6, 2 * rank, 12)
    parts = [(torch.randn(6, 5, rank), 0, 5), (torch.randn(6, 4, rank), 5, 9)]
    want = out.clone()
    for slot, start, end in groups:
        for token in range(start, end):
            for at, (b, first, last) in enumerate(parts):
                want[token, first:last] += b[slot] @ (a[slot, at * rank : (at + 1) * rank] @ x[token])
    grouped_product_reference(x, out, a, parts, groups, rank)
    torch.testing.assert_close(out, want, atol=1e-4, rtol=1e-4)
