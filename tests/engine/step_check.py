"""Whole steps of fixed shape by the Triton kernels, against steps by their twins; TRITON_INTERPRET=1, no GPU.

The kernels take the twins' places: they see the strides, the views of cache and slots, and the padded
buffers that they see on a GPU.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from calibration.engine import attention_triton, kv, lora, lora_triton
from calibration.engine.batch import DecodeBatch, Row, StepBatch
from calibration.engine.lora import LoraSlots
from tests.engine.bench import Bench, steps
from tests.engine.conftest import Tiny
from tests.engine.models import ADAPTERS, save_adapter, save_model

calls = {"attention": 0, "adapters": 0}


def attention(query: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor) -> Tensor:
    calls["attention"] += 1
    return attention_triton.paged_decode(query, keys, values, tables, positions)


def add_product(
    slots: LoraSlots, packed: str, layer: int, x: Tensor, out: Tensor, batch: StepBatch | DecodeBatch
) -> None:
    """As `LoraSlots.add_product` on a GPU."""
    calls["adapters"] += 1
    parts = [(slots.b[module][layer], first, last) for module, first, last in slots.columns[packed]]
    lora_triton.grouped_product(x, out, slots.a[packed][layer], parts, batch.lora_tiles, slots.rank)


def compare(twins: Bench, kernels: Bench, rows: list[Row]) -> None:
    want = twins.logits(rows)
    kept = kv.paged_decode_reference, LoraSlots.add_product
    kv.paged_decode_reference, lora.LoraSlots.add_product = attention, add_product  # type: ignore[assignment]
    try:
        got = kernels.logits(rows)
    finally:
        kv.paged_decode_reference, lora.LoraSlots.add_product = kept  # type: ignore[method-assign]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        adapters = {name: save_adapter(root / name, **how) for name, how in ADAPTERS.items()}
        tiny = Tiny(save_model(root / "base"), adapters, root)
        twins, kernels = (Bench(tiny, "static", (1, 3)) for _ in range(2))
        told = steps(0, 3, (-1, 0, 1, 2, 3))[:4]
        for rows in told:
            compare(twins, kernels, rows)
    assert calls["attention"] >= 2 * 3
    assert calls["adapters"] >= 2 * 4 * 3
    sys.stdout.write(f"{len(told)} steps agree\n")


if __name__ == "__main__":
    main()
