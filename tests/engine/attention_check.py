"""The decode attention kernels against their twin. A program too: with TRITON_INTERPRET=1 it needs no GPU."""

from __future__ import annotations

import sys
from typing import NamedTuple

import torch

from calibration.engine.attention_triton import paged_decode, parts_of
from calibration.engine.kv import paged_decode_reference
from tests.engine.test_cuda import ATTENTION


class Shape(NamedTuple):
    """Contexts of the sequences before their new tokens, and sizes."""

    contexts: list[int]
    width: int
    heads: int
    kv_heads: int
    dim: int
    block_tokens: int


SHAPES = {
    "one-token-of-all": Shape([0], 1, 1, 1, 16, 16),
    "split-into-parts": Shape([700], 1, 4, 2, 32, 16),
    "ragged": Shape([0, 1, 15, 16, 17, 130], 1, 4, 2, 64, 16),
    "drafts": Shape([0, 70, 33], 5, 8, 2, 32, 16),
    "more-rows-than-a-program-takes": Shape([40, 3], 9, 16, 1, 16, 8),
    "odd-sizes": Shape([12, 7, 64], 2, 6, 2, 24, 3),
    "as-many-as-fill-the-device": Shape([5] * 150, 1, 2, 2, 16, 4),
}


def check(shape: Shape, dtype: torch.dtype, device: str) -> None:
    """Equal within rounding, with padded tokens among the drafts and blocks of noise that nobody owns."""
    torch.manual_seed(0)
    sequences, width, block_tokens = len(shape.contexts), shape.width, shape.block_tokens
    needed = [-(-(context + width) // block_tokens) for context in shape.contexts]
    free = torch.randperm(sum(needed) + 3).tolist()
    tables = torch.full((max(needed) + 2, sequences), free.pop(), dtype=torch.int32)
    for sequence, count in enumerate(needed):
        tables[:count, sequence] = torch.tensor([free.pop() for _ in range(count)])
    positions = torch.tensor(shape.contexts)[:, None] + torch.arange(width)
    positions[-1, width // 2 + 1 :] = 0  # the last sequence has fewer drafts
    cache = torch.randn(2, sum(needed) + 3, block_tokens, shape.kv_heads, shape.dim).to(dtype)
    query = torch.randn(sequences * width, shape.heads, shape.dim).to(dtype)
    want = paged_decode_reference(query.float(), cache[0].float(), cache[1].float(), tables, positions)
    placed = [tensor.to(device) for tensor in (query, cache[0], cache[1], tables, positions.flatten())]
    got = paged_decode(*placed)
    off = 1e-5 if dtype == torch.float32 else 0.02
    assert got.dtype == dtype
    torch.testing.assert_close(got.float().cpu(), want, atol=off, rtol=off)


if __name__ == "__main__":
    assert tuple(SHAPES) == ATTENTION
    assert {parts_of(len(s.contexts), s.kv_heads) for s in SHAPES.values()} >= {1, 16}
    for one in SHAPES.values():
        check(one, torch.float32, "cpu")
    check(SHAPES["drafts"], torch.float16, "cpu")
    sys.stdout.write(f"{len(SHAPES)} shapes agree\n")
