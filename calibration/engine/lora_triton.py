"""The grouped product of lora.py as two Triton kernels. Their twin is `grouped_product_reference`.

A program takes one tile of at most TILE_TOKENS tokens of one adapter and one tile of columns, so the cost
follows tokens and distinct adapters, not reserved slots. In a captured graph the number of tiles is the most
that tokens and slots allow (graphs.py), never a count of the batch; programs of empty tiles end at once.
Checked against the twin in Triton's interpreter
and, where there is one, on a GPU (tests/engine/test_lora_triton.py). Tile sizes are not tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import triton
import triton.language as tl
from torch import Tensor

from calibration.engine.batch import TILE_TOKENS

_COLUMNS: Final = 64
_DEPTH: Final = 64  # d_in per turn of the shrink loop


def _shrink_tile(  # noqa: PLR0913 - a kernel takes tensors and sizes one by one
    x: tl.tensor,
    a: tl.tensor,
    h: tl.tensor,
    tiles: tl.tensor,
    depth: tl.tensor,
    width: tl.tensor,
    TOKENS: tl.constexpr,  # noqa: N803 - Triton's way to write constants
    COLUMNS: tl.constexpr,  # noqa: N803
    DEPTH: tl.constexpr,  # noqa: N803
) -> None:
    """H = x · Aᵀ for one tile: x (tokens, depth), a (slots, width, depth), h (tokens, width), contiguous."""
    tile = tiles + 3 * tl.program_id(0)
    slot, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    if start >= end:
        return
    rows = start + tl.arange(0, TOKENS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((TOKENS, COLUMNS), dtype=tl.float32)
    for first in range(0, depth, DEPTH):
        inner = first + tl.arange(0, DEPTH)
        left = tl.load(
            x + rows[:, None] * depth + inner, mask=(rows[:, None] < end) & (inner < depth), other=0.0
        )
        right = tl.load(
            a + slot.to(tl.int64) * width * depth + columns * depth + inner[:, None],
            mask=(columns < width) & (inner[:, None] < depth),
            other=0.0,
        )
        total += tl.dot(left, right, input_precision="ieee")
    kept = (rows[:, None] < end) & (columns < width)
    tl.store(h + rows[:, None] * width + columns, total.to(h.dtype.element_ty), mask=kept)


def _expand_tile(  # noqa: PLR0913 - a kernel takes tensors and sizes one by one
    h: tl.tensor,
    b: tl.tensor,
    out: tl.tensor,
    tiles: tl.tensor,
    rank: tl.tensor,
    d_out: tl.tensor,
    h_stride: tl.tensor,
    out_stride: tl.tensor,
    TOKENS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    RANK: tl.constexpr,  # noqa: N803 - rank, rounded up to what a product needs
) -> None:
    """Out += h · Bᵀ for one tile: h (tokens, rank), b (slots, d_out, rank), out (tokens, d_out)."""
    tile = tiles + 3 * tl.program_id(0)
    slot, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    if start >= end:
        return
    rows = start + tl.arange(0, TOKENS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inner = tl.arange(0, RANK)
    left = tl.load(
        h + rows[:, None] * h_stride + inner, mask=(rows[:, None] < end) & (inner < rank), other=0.0
    )
    right = tl.load(
        b + slot.to(tl.int64) * d_out * rank + columns * rank + inner[:, None],
        mask=(columns < d_out) & (inner[:, None] < rank),
        other=0.0,
    )
    places = out + rows[:, None] * out_stride + columns
    kept = (rows[:, None] < end) & (columns < d_out)
    total = tl.load(places, mask=kept, other=0.0).to(tl.float32)
    total += tl.dot(left, right, input_precision="ieee")
    tl.store(places, total.to(out.dtype.element_ty), mask=kept)


_shrink = triton.jit(_shrink_tile)
_expand = triton.jit(_expand_tile)


def grouped_product(
    x: Tensor, out: Tensor, a: Tensor, parts: Sequence[tuple[Tensor, int, int]], tiles: Tensor, rank: int
) -> None:
    """out[rows, columns] += x[rows]·Aᵀ·Bᵀ, as the twin; tiles: (tiles, 3) slot, first token, behind the last.

    One launch to shrink for all modules, one to expand for each.
    """
    if not tiles.shape[0]:
        return
    depth, width = x.shape[1], a.shape[1]
    h = x.new_empty(x.shape[0], width)
    grid = (tiles.shape[0], triton.cdiv(width, _COLUMNS))
    _shrink[grid](x, a, h, tiles, depth, width, TOKENS=TILE_TOKENS, COLUMNS=_COLUMNS, DEPTH=_DEPTH)
    for at, (b, first, last) in enumerate(parts):
        grid = (tiles.shape[0], triton.cdiv(last - first, _COLUMNS))
        _expand[grid](
            h[:, at * rank :],
            b,
            out[:, first:last],
            tiles,
            rank,
            last - first,
            width,
            out.stride(0),
            TOKENS=TILE_TOKENS,
            COLUMNS=_COLUMNS,
            RANK=max(16, triton.next_power_of_2(rank)),
        )
