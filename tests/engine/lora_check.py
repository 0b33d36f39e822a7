"""The Triton kernels against their twin. A program too: with TRITON_INTERPRET=1 it needs no GPU."""

from __future__ import annotations

import sys

import torch

from calibration.engine.batch import _tiles
from calibration.engine.lora import grouped_product_reference
from calibration.engine.lora_triton import grouped_product

SHAPES = [
    (8, [1], 0, 64),  # one token, one adapter
    (8, [], 3, 64),  # nobody has an adapter
    (5, [17, 1, 33], 2, 100),  # sizes that fill no tile
    (64, [16, 32], 0, 64),  # sizes that fill them
]
NAMES = ["one-token", "empty", "ragged", "full"]


def check(shape: tuple[int, list[int], int, int], dtype: torch.dtype, device: str) -> None:
    rank, sizes, base, d_in = shape
    torch.manual_seed(0)
    groups, at = [], base
    for slot, size in zip((3, 0, 2), sizes, strict=False):
        groups.append((slot, at, at + size))
        at += size
    x = torch.randn(at, d_in, device=device).to(dtype)
    out = torch.randn(at, 70 + 13, device=device).to(dtype)
    a = torch.randn(4, 2 * rank, d_in, device=device).to(dtype)
    parts = [
        (torch.randn(4, 70, rank, device=device).to(dtype), 0, 70),
        (torch.randn(4, 13, rank, device=device).to(dtype), 70, 83),
    ]
    want = out.double()
    grouped_product_reference(
        x.double(), want, a.double(), [(b.double(), first, last) for b, first, last in parts], groups, rank
    )
    grouped_product(x, out, a, parts, _tiles(groups).to(device), rank)
    off = 1e-4 if dtype == torch.float32 else 0.03
    assert (out.double() - want).abs().max() <= off * want.abs().max()


if __name__ == "__main__":
    for one in SHAPES:
        check(one, torch.float32, "cpu")
    sys.stdout.write(f"{len(SHAPES)} shapes agree\n")
