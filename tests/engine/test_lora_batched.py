"""Adapters in one product a module: the pairs' results, over shapes drawn at random and those on the edge."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import numpy as np
import torch

from calibration.engine.lora import grouped_product_reference
from calibration.engine.lora_batched import batched_product, grid_of

RANK, SLOTS, D_IN = 4, 9, 24
COLUMNS = ((0, 16), (16, 20), (20, 24))


def tensors(tokens: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, D_IN, generator=random)
    a = torch.randn(SLOTS, len(COLUMNS) * RANK, D_IN, generator=random)
    b = [torch.randn(SLOTS, last - first, RANK, generator=random) for first, last in COLUMNS]
    return x, torch.randn(tokens, COLUMNS[-1][1], generator=random), a, b


def groups_of(slots: list[int], counts: list[int], start: int) -> tuple[tuple[int, int, int], ...]:
    found = []
    for slot, count in zip(slots, counts, strict=True):
        found.append((slot, start, start + count))
        start += count
    return tuple(found)


@pytest.mark.parametrize("seed", range(12))
def test_it_equals_the_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    adapters = int(rng.integers(2, SLOTS))
    slots = sorted(rng.permutation(SLOTS)[:adapters].tolist())
    if seed % 3 == 0:
        slots = list(range(2, 2 + adapters)) if adapters < SLOTS - 2 else list(range(adapters))
    counts = [3] * adapters if seed % 2 else rng.integers(1, 7, adapters).tolist()
    groups = groups_of(slots, counts, start=int(rng.integers(0, 4)))  # the base's tokens come first
    x, out, a, b = tensors(groups[-1][2], seed)
    parts = [(one, *columns) for one, columns in zip(b, COLUMNS, strict=True)]
    want = out.clone()
    grouped_product_reference(x, want, a, parts, groups, RANK)
    grid = grid_of(groups)
    assert grid is not None
    assert grid.in_order == (slots == list(range(slots[0], slots[0] + adapters)))
    assert batched_product(x, out, a, parts, grid, RANK)
    torch.testing.assert_close(out, want)


def test_where_the_pairs_are_faster_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grid_of(((3, 0, 500),)) is None  # one adapter
    assert grid_of(groups_of([0, 1, 2], [400, 1, 1], 0)) is None  # most of it would be padding
    assert grid_of(((0, 0, 2), (1, 16, 18))) is None  # tiles of fixed shapes, with gaps
    assert grid_of(groups_of([0, 1], [60, 4], 0)) is not None  # few rows: padding costs nothing
    monkeypatch.setattr("calibration.engine.lora_batched._GATHERED_BYTES", 100)
    x, out, a, b = tensors(4, 0)
    before, grid = out.clone(), grid_of(groups_of([0, 5], [2, 2], 0))
    assert grid is not None
    assert not batched_product(x, out, a, [(b[0], 0, 16)], grid, RANK)
    assert torch.equal(out, before)
