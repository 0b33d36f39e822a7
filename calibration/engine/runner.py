"""The only file that knows devices: where tensors live, when they are there, in which dtype.

CPU: eager torch. CUDA: the same calls on the default stream, adapters by the kernels of lora_triton.py,
overlapped copies of adapters on a second stream. There is no captured graph and no attention kernel of
our own; `Runner.forward` and `paged_attention` (kv.py) are the places where they would go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from advisor.errors import InputError
from calibration.engine.batch import Row, step_batch
from calibration.engine.config import read_architecture
from calibration.engine.kv import KvCache
from calibration.engine.lora import LoraSlots
from calibration.engine.model import Model, forward
from calibration.engine.weights import read_weights

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Runner:
    """One device: places models, caches and slots on it, and runs steps there."""

    def __init__(self, device: str, block_tokens: int) -> None:
        try:
            self.device = torch.device(device)
        except RuntimeError:
            raise InputError(f"device is {device!r}; allowed: cpu, cuda, or cuda:N.") from None
        if self.device.type not in ("cpu", "cuda"):
            raise InputError(f"device is {device!r}; allowed: cpu, cuda, or cuda:N.")
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(f"device is {device!r}; allowed: cpu, since torch finds no CUDA device.")
        self.block_tokens = block_tokens
        cuda: Any = torch.cuda
        self._copies = cuda.Stream(self.device) if self.pinned else None

    @property
    def pinned(self) -> bool:
        """Whether host memory is pinned, for copies to the device."""
        return bool(self.device.type == "cuda")

    def load_model(self, model_dir: str | Path, dtype: str, kv_blocks: int, drafts: int = 0) -> Model:
        """Read a model folder onto the device. `dtype` auto keeps the stored one.

        Positions are tabled as far as the KV cache and the model go, and `drafts` further, for tokens
        that are drafted behind the end and never kept.
        """
        architecture = read_architecture(model_dir)
        wanted = architecture.stored_dtype if dtype == "auto" else dtype
        if wanted not in _DTYPES:
            raise InputError(f"dtype is {dtype!r}; allowed: auto, {', '.join(_DTYPES)}.")
        weights = read_weights(model_dir, architecture, _DTYPES[wanted])
        weights = weights.map(lambda tensor: tensor.to(self.device))
        positions = min(kv_blocks * self.block_tokens, architecture.max_positions + drafts)
        return Model.of(architecture, weights, positions)

    def kv_cache(self, model: Model, blocks: int) -> KvCache:
        """An empty cache for a model."""
        shape = model.architecture.shape
        size = (shape.layers, blocks, self.block_tokens, shape.kv_heads, shape.head_dim)
        like = model.weights.embedding
        return KvCache(like.new_zeros(size), like.new_zeros(size))

    def lora_slots(self, model: Model, slots: int, rank: int) -> LoraSlots | None:
        """Empty adapter slots for a model; None where there are to be none."""
        return LoraSlots.empty(model.architecture, slots, rank, model.weights.embedding) if slots else None

    def forward(
        self, model: Model, rows: Sequence[Row], cache: KvCache, slots: LoraSlots | None = None
    ) -> Tensor:
        """Logits of the rows that ask for them, on the device, in float32."""
        batch = step_batch(rows, self.block_tokens).to(self.device)
        return forward(model, batch, cache, slots)

    def fence(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def beside(self) -> AbstractContextManager[object]:
        """Work in this context runs beside the batch."""
        return torch.cuda.stream(self._copies) if self._copies is not None else contextlib.nullcontext()

    def fence_beside(self) -> None:
        """Wait until the work beside the batch is done."""
        if self._copies is not None:
            self._copies.synchronize()
