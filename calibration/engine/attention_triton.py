"""Attention of decodes over the paged KV cache, as Triton kernels. Their twin is `kv.paged_decode_reference`.

A program takes one sequence, one KV head with the query heads that share it, and one part of the
sequence's blocks, which it reads where they are: online softmax in base 2 (Milakov and Gimelshein 2018;
Dao et al. 2022), products of the cache's dtype summed in float32. With few sequences their KV is split
into parts, whose results a second kernel joins (flash-decoding). The grid depends on shapes alone, so a
graph can hold it: lengths are read from `positions` on the device. Tile sizes are not tuned.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_KV_TOKENS: Final = 64  # KV tokens per turn of the loop
_MOST_ROWS: Final = 64  # (new token, query head) pairs of a program
_PROGRAMS: Final = 256  # about two per multiprocessor of a large GPU; fewer sequences are split up to it
_MOST_PARTS: Final = 16
_LOG2_E: Final = 1.4426950408889634


def _attend_part(  # noqa: PLR0913 - a kernel takes tensors and sizes one by one
    query: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    tables: tl.tensor,
    positions: tl.tensor,
    out: tl.tensor,
    sums: tl.tensor,
    scale: tl.tensor,
    sequences: tl.tensor,
    width: tl.tensor,
    kv_heads: tl.tensor,
    share: tl.tensor,
    dim: tl.tensor,
    BLOCK: tl.constexpr,  # noqa: N803 - Triton's way to write constants; tokens of a block
    PARTS: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    KV: tl.constexpr,  # noqa: N803
    DIM: tl.constexpr,  # noqa: N803 - dim, rounded up to what a product needs
) -> None:
    """One part of one sequence and KV head.

    query (sequences · width, heads, dim), keys and values (blocks, BLOCK, kv_heads, dim), tables
    (blocks, sequences), positions (sequences · width), all contiguous. PARTS 1: out (tokens, heads, dim) is
    the result. Else out (tokens, heads, parts, dim) is not yet divided, sums (tokens, heads, parts, 2) are
    the highest score and the sum.
    """
    sequence, part = tl.program_id(0), tl.program_id(2)
    tiles = tl.cdiv(width * share, ROWS)
    kv_head = tl.program_id(1) // tiles
    rows = tl.program_id(1) % tiles * ROWS + tl.arange(0, ROWS)
    real = rows < width * share
    tokens = sequence * width + rows // share
    lines = tokens.to(tl.int64) * kv_heads * share + kv_head * share + rows % share
    inner = tl.arange(0, DIM)
    seen = tl.load(positions + tokens, mask=real, other=-1).to(tl.int32) + 1
    longest = tl.max(seen, 0)
    span = tl.cdiv(tl.cdiv(longest, PARTS), KV) * KV
    begin = part * span
    end = tl.minimum(begin + span, longest)
    left = tl.load(query + lines[:, None] * dim + inner, mask=real[:, None] & (inner < dim), other=0.0)
    high = tl.full((ROWS,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((ROWS,), dtype=tl.float32)
    summed = tl.zeros((ROWS, DIM), dtype=tl.float32)
    for first in range(begin, end, KV):
        places = first + tl.arange(0, KV)
        there = places < end
        blocks = tl.load(tables + places // BLOCK * sequences + sequence, mask=there, other=0)
        at = (blocks.to(tl.int64) * BLOCK + places % BLOCK) * kv_heads + kv_head
        kept = there[:, None] & (inner < dim)
        right = tl.load(keys + at[:, None] * dim + inner, mask=kept, other=0.0)
        scores = tl.dot(left, tl.trans(right), input_precision="ieee") * scale
        scores = tl.where(there[None, :] & (places[None, :] < seen[:, None]), scores, float("-inf"))
        higher = tl.maximum(high, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # a row may have seen nothing yet
        weights = tl.exp2(scores - base[:, None])
        shrink = tl.exp2(high - base)
        right = tl.load(values + at[:, None] * dim + inner, mask=kept, other=0.0)
        summed = summed * shrink[:, None] + tl.dot(weights.to(right.dtype), right, input_precision="ieee")
        total = total * shrink + tl.sum(weights, 1)
        high = higher
    kept = real[:, None] & (inner < dim)
    if PARTS == 1:
        result = summed / tl.where(total > 0.0, total, 1.0)[:, None]
        tl.store(out + lines[:, None] * dim + inner, result.to(out.dtype.element_ty), mask=kept)
    else:
        lines = lines * PARTS + part
        tl.store(out + lines[:, None] * dim + inner, summed, mask=kept)
        tl.store(sums + lines * 2, high, mask=real)
        tl.store(sums + lines * 2 + 1, total, mask=real)


def _join_parts(
    parts: tl.tensor,
    sums: tl.tensor,
    out: tl.tensor,
    dim: tl.tensor,
    PARTS: tl.constexpr,  # noqa: N803
    DIM: tl.constexpr,  # noqa: N803
) -> None:
    """One token and query head: parts (lines, PARTS, dim), sums (lines, PARTS, 2) -> out (lines, dim)."""
    line = tl.program_id(0).to(tl.int64)
    part, inner = tl.arange(0, PARTS), tl.arange(0, DIM)
    high = tl.load(sums + (line * PARTS + part) * 2)
    total = tl.load(sums + (line * PARTS + part) * 2 + 1)
    weights = tl.exp2(high - tl.max(high, 0))
    found = tl.load(
        parts + (line * PARTS + part[:, None]) * dim + inner,
        mask=(part[:, None] < PARTS) & (inner < dim),
        other=0.0,
    )
    result = tl.sum(found * weights[:, None], 0) / tl.sum(total * weights, 0)
    tl.store(out + line * dim + inner, result.to(out.dtype.element_ty), mask=inner < dim)


_attend = triton.jit(_attend_part)
_join = triton.jit(_join_parts)


def parts_of(sequences: int, kv_heads: int) -> int:
    """Into how many parts each sequence's KV is split: a power of two, by shapes alone."""
    wanted = max(1, _PROGRAMS // (sequences * kv_heads))
    return int(min(_MOST_PARTS, 1 << (wanted.bit_length() - 1)))


def paged_decode(query: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor) -> Tensor:
    """As the twin: query (S · width, heads, head_dim) -> (S · width, heads · head_dim).

    Every token sees at least its sequence's first place (its position is 0 or more).
    """
    tokens, heads, dim = query.shape
    sequences, kv_heads, block_tokens = tables.shape[1], keys.shape[2], keys.shape[1]
    width, share = tokens // sequences, heads // kv_heads
    query = query.contiguous()
    parts = parts_of(sequences, kv_heads)
    rows = min(_MOST_ROWS, max(16, triton.next_power_of_2(width * share)))
    grid = (sequences, kv_heads * triton.cdiv(width * share, rows), parts)
    wide = max(16, triton.next_power_of_2(dim))
    out = query.new_empty(tokens, heads * dim)
    split = parts > 1
    part_out = query.new_empty(tokens * heads * parts, dim, dtype=torch.float32) if split else out
    sums = query.new_empty(tokens * heads * parts, 2, dtype=torch.float32) if split else out
    _attend[grid](
        query,
        keys,
        values,
        tables,
        positions,
        part_out,
        sums,
        dim**-0.5 * _LOG2_E,
        sequences,
        width,
        kv_heads,
        share,
        dim,
        BLOCK=block_tokens,
        PARTS=parts,
        ROWS=rows,
        KV=_KV_TOKENS,
        DIM=wide,
    )
    if split:
        _join[(tokens * heads,)](part_out, sums, out, dim, PARTS=parts, DIM=wide)
    return out
