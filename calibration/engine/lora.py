"""Many adapters in one batch: slots on the device, padded to `max_lora_rank`, and the grouped product.

The tokens of a step are sorted by adapter (batch.py), so each adapter's are one range of rows. Modules that
read the same input are packed: one product with their stacked A, then one with each B into its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from calibration.engine.batch import DecodeBatch, StepBatch
from calibration.engine.config import Architecture
from calibration.engine.lora_batched import batched_product, grid_of
from calibration.engine.peft import Delta
from calibration.engine.weights import PACKED, rows_of

Groups = Sequence[tuple[int, int, int]]
"""(slot, first token, behind the last) of each adapter in the batch."""


@dataclass(frozen=True, slots=True)
class PackedAdapter:
    """One adapter as a slot holds it, in host memory: padded with zeros, scaled, in the model's dtype.

    a: packed name -> (layers, modules · rank, d_in); b: module -> (layers, d_out, rank), times the scale.
    """

    a: dict[str, Tensor]
    b: dict[str, Tensor]

    @property
    def bytes(self) -> int:
        """Bytes that one slot takes."""
        return sum(t.numel() * t.element_size() for t in (*self.a.values(), *self.b.values()))


def pack(
    deltas: Mapping[tuple[int, str], Delta],
    architecture: Architecture,
    max_lora_rank: int,
    dtype: torch.dtype,
    *,
    pinned: bool = False,
) -> PackedAdapter:
    """Bring an adapter into a slot's shape. The scale is applied in float32, then rounded once."""
    shape = architecture.shape
    a, b = {}, {}
    for packed, modules in PACKED.items():
        d_in, _ = shape.linear_shape(modules[0])
        size = (shape.layers, len(modules) * max_lora_rank, d_in)
        a[packed] = torch.zeros(size, dtype=dtype, pin_memory=pinned)
        for module, first, last in rows_of(architecture, packed):
            size = (shape.layers, last - first, max_lora_rank)
            b[module] = torch.zeros(size, dtype=dtype, pin_memory=pinned)
    place = {module: (packed, at) for packed, modules in PACKED.items() for at, module in enumerate(modules)}
    for (layer, module), delta in deltas.items():
        packed, at = place[module]
        rank = delta.a.shape[0]
        a[packed][layer, at * max_lora_rank : at * max_lora_rank + rank] = delta.a.to(dtype)
        b[module][layer, :, :rank] = (delta.b.float() * delta.scale).to(dtype)
    return PackedAdapter(a, b)


@dataclass(frozen=True, slots=True)
class LoraSlots:
    """`max_loras` places for adapters on the device.

    a: packed name -> (layers, slots, modules · rank, d_in); b: module -> (layers, slots, d_out, rank).
    """

    a: dict[str, Tensor]
    b: dict[str, Tensor]
    columns: dict[str, list[tuple[str, int, int]]]  # packed name -> (module, first column, behind the last)
    rank: int

    @classmethod
    def empty(cls, architecture: Architecture, slots: int, rank: int, like: Tensor) -> LoraSlots:
        """Zeros with the device and dtype of `like`."""
        shape = architecture.shape
        a = {
            packed: like.new_zeros(
                shape.layers, slots, len(modules) * rank, shape.linear_shape(modules[0])[0]
            )
            for packed, modules in PACKED.items()
        }
        columns = {packed: rows_of(architecture, packed) for packed in PACKED}
        b = {
            module: like.new_zeros(shape.layers, slots, last - first, rank)
            for rows in columns.values()
            for module, first, last in rows
        }
        return cls(a, b, columns, rank)

    @property
    def bytes(self) -> int:
        """Bytes of all slots."""
        return sum(t.numel() * t.element_size() for t in (*self.a.values(), *self.b.values()))

    def write(self, slot: int, adapter: PackedAdapter) -> None:
        """Copy an adapter into a slot: one copy a packed tensor."""
        for name, tensor in adapter.a.items():
            self.a[name][:, slot].copy_(tensor, non_blocking=True)
        for name, tensor in adapter.b.items():
            self.b[name][:, slot].copy_(tensor, non_blocking=True)

    def add_product(
        self, packed: str, layer: int, x: Tensor, out: Tensor, batch: StepBatch | DecodeBatch
    ) -> None:
        """Add each token's adapter: x (tokens, d_in), out (tokens, d_out) changed in place."""
        a = self.a[packed][layer]
        parts = [(self.b[module][layer], first, last) for module, first, last in self.columns[packed]]
        if x.is_cuda:
            from calibration.engine.lora_triton import (
                grouped_product,
            )  # triton comes with CUDA builds of torch

            grouped_product(x, out, a, parts, batch.lora_tiles, self.rank)
            return
        groups = tuple(batch.lora)
        grid = grid_of(groups) if groups and x.element_size() == 2 else None
        if grid is None or not batched_product(x, out, a, parts, grid, self.rank):
            grouped_product_reference(x, out, a, parts, groups, self.rank)


def grouped_product_reference(
    x: Tensor,
    out: Tensor,
    a: Tensor,
    parts: Sequence[tuple[Tensor, int, int]],
    groups: Groups,
    rank: int,
) -> None:
    """out[rows, columns] += x[rows]·Aᵀ·Bᵀ for each adapter's rows and each module's columns.

    a: (slots, modules · rank, d_in); parts: for each module B (slots, d_out, rank), its columns of out.
    One pair of products an adapter and module; cost: tokens · rank · (d_in + d_out), and A and B of
    each distinct adapter read once. On a CPU this beat one padded bmm for all adapters in nearly every
    case tried (docs/explanation/engine.md).
    """
    for slot, start, end in groups:
        shrunk = x[start:end] @ a[slot].T
        for at, (b, first, last) in enumerate(parts):
            out[start:end, first:last].addmm_(shrunk[:, at * rank : (at + 1) * rank], b[slot].T)
