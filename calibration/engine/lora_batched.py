"""Adapters of a step in one product a module, on a CPU in 16 bits.

There a product of few rows costs some 25 µs before it computes anything, so that a pair of them for each
adapter and module is mostly that. In 32 bits it costs a third, and the pairs of `lora.py` are faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

_MOST_PADDING: Final = 2
_FREE_ROWS: Final = 128
"""Rows that are computed without need: as many as there are others, or all up to this many."""
_GATHERED_BYTES: Final = 2**23
"""Of adapters copied side by side; more of them would leave the caches."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Adapters by tokens, each adapter's padded to the longest."""

    adapters: int
    longest: int
    first: int  # the adapters' tokens are a range of the batch
    last: int
    slots: Tensor  # (adapters,)
    in_order: bool  # their slots are a range as well
    places: Tensor | None  # (adapters · longest,) token of each cell, from `first` on; None: no padding
    cells: Tensor | None  # (tokens,) cell of each token


@lru_cache(maxsize=16)
def grid_of(groups: tuple[tuple[int, int, int], ...]) -> Grid | None:
    """Lay out (slot, first token, behind the last) of each adapter; None where the pairs are faster."""
    counts = [end - start for _, start, end in groups]
    longest, adapters, tokens = max(counts), len(groups), sum(counts)
    first, last = groups[0][1], groups[-1][2]
    if adapters < 2 or last - first != tokens:
        return None
    if adapters * longest > max(_MOST_PADDING * tokens, _FREE_ROWS):
        return None
    slots = [slot for slot, _, _ in groups]
    in_order = slots == list(range(slots[0], slots[0] + adapters))
    if adapters * longest == tokens:
        return Grid(adapters, longest, first, last, torch.tensor(slots), in_order, None, None)
    places, cells = [], []
    for line, (_, start, end) in enumerate(groups):
        places += [min(start + step, end - 1) - first for step in range(longest)]
        cells += [line * longest + step for step in range(end - start)]
    tensors = torch.tensor(places), torch.tensor(cells)
    return Grid(adapters, longest, first, last, torch.tensor(slots), in_order, *tensors)


def batched_product(
    x: Tensor, out: Tensor, a: Tensor, parts: Sequence[tuple[Tensor, int, int]], grid: Grid, rank: int
) -> bool:
    """As `lora.grouped_product_reference`; False, with nothing done, where the pairs are faster.

    Cost: adapters · longest · rank · (d_in + d_out), and each adapter's A and B copied once more unless
    their slots are a range.
    """
    if not grid.in_order and grid.adapters * a[0].numel() * a.element_size() > _GATHERED_BYTES:
        return False
    rows = x[grid.first : grid.last]
    if grid.places is not None:
        rows = rows.index_select(0, grid.places)
    shrunk = torch.bmm(rows.reshape(grid.adapters, grid.longest, -1), _of(a, grid).transpose(1, 2))
    for at, (b, first, last) in enumerate(parts):
        mine = shrunk[:, :, at * rank : (at + 1) * rank]
        added = torch.bmm(mine, _of(b, grid).transpose(1, 2)).flatten(0, 1)
        if grid.cells is not None:
            added = added.index_select(0, grid.cells)
        out[grid.first : grid.last, first:last] += added
    return True


def _of(slots: Tensor, grid: Grid) -> Tensor:
    """The grid's adapters among all slots."""
    if grid.in_order:
        start = int(grid.slots[0])
        return slots[start : start + grid.adapters]
    return slots.index_select(0, grid.slots)
