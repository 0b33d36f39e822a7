"""The file that knows devices: where tensors live, when they are there, in which dtype.

CPU: eager torch. CUDA: the same calls on the default stream, adapters by the kernels of lora_triton.py,
overlapped copies of adapters on a second stream; decode steps by graphs (graphs.py), with the attention
kernel of attention_triton.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from advisor.errors import InputError
from calibration.engine.batch import Row, step_batch
from calibration.engine.config import read_architecture
from calibration.engine.graphs import StaticDecode
from calibration.engine.kv import KvCache
from calibration.engine.lora import LoraSlots
from calibration.engine.model import Model, forward
from calibration.engine.weights import read_weights

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Runner:
    """One device: places models, caches and slots on it, and runs steps there."""

    def __init__(self, device: str, block_tokens: int, graphs: str = "auto") -> None:
        try:
            self.device = torch.device(device)
        except RuntimeError:
            raise InputError(f"device is {device!r}; allowed: cpu, cuda, or cuda:N.") from None
        if self.device.type not in ("cpu", "cuda"):
            raise InputError(f"device is {device!r}; allowed: cpu, cuda, or cuda:N.")
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(f"device is {device!r}; allowed: cpu, since torch finds no CUDA device.")
        self.block_tokens = block_tokens
        self.graphs = self._graphs(graphs)
        self.graph_tokens = 0  # of the last step, padding included; 0: it kept its own shape
        self._static: dict[int, StaticDecode] = {}
        cuda: Any = torch.cuda
        self._copies = cuda.Stream(self.device) if self.pinned else None

    def _graphs(self, asked: str) -> str:
        """How decode steps run: off, static or cuda."""
        cuda, triton = self.device.type == "cuda", find_spec("triton") is not None
        if asked == "auto":
            return "cuda" if cuda and triton else "off"
        if asked == "cuda" and not cuda:
            raise InputError(f"graphs is 'cuda'; allowed: auto, off or static on the device {self.device}.")
        if asked != "off" and cuda and not triton:
            raise InputError(f"graphs is {asked!r}; allowed: auto or off, since there is no triton.")
        return asked

    @property
    def pinned(self) -> bool:
        """Whether host memory is pinned, for copies to the device."""
        return bool(self.device.type == "cuda")

    def load_model(self, model_dir: str | Path, dtype: str, kv_blocks: int, drafts: int = 0) -> Model:
        """Read a model folder onto the device. `dtype` auto keeps the stored one.

        Positions are tabled as far as the KV cache and the model go, and `drafts` further, for tokens
        that are drafted behind the end and never kept.

        Raises:
            InputError: another dtype than the known, or a folder that is no model which is served here.
        """
        architecture = read_architecture(model_dir)
        wanted = architecture.stored_dtype if dtype == "auto" else dtype
        if wanted not in _DTYPES:
            raise InputError(f"dtype is {dtype!r}; allowed: auto, {', '.join(_DTYPES)}.")
        weights = read_weights(model_dir, architecture, _DTYPES[wanted])
        weights = weights.map(lambda tensor: tensor.to(self.device))
        if self.graphs == "off":
            weights.block()
        positions = min(kv_blocks * self.block_tokens, architecture.max_positions + drafts)
        return Model.of(architecture, weights, positions)

    def kv_cache(self, model: Model, blocks: int) -> KvCache:
        """An empty cache for a model; with one block more as scratch where steps are padded."""
        shape = model.architecture.shape
        blocks += self.graphs != "off"
        size = (shape.layers, blocks, self.block_tokens, shape.kv_heads, shape.head_dim)
        by_head = self.device.type == "cpu" and self.graphs == "off"
        return KvCache.empty(size, model.weights.embedding, by_head=by_head)

    def lora_slots(self, model: Model, slots: int, rank: int) -> LoraSlots | None:
        """Empty adapter slots for a model; None where there are to be none."""
        return LoraSlots.empty(model.architecture, slots, rank, model.weights.embedding) if slots else None

    def pad_decodes(
        self,
        model: Model,
        cache: KvCache,
        slots: LoraSlots | None,
        widths: Sequence[int],
        max_num_seqs: int,
    ) -> None:
        """Run this model's decodes in fixed shapes from now on, captured on CUDA; nothing with graphs off.

        Call it before other threads use the device: a capture suffers no company.
        """
        if self.graphs == "off":
            return
        with self._here():
            static = StaticDecode(model, cache, slots, widths, max_num_seqs)
            if self.graphs == "cuda":
                static.capture()
        self._static[id(model)] = static

    def forward(
        self, model: Model, rows: Sequence[Row], cache: KvCache, slots: LoraSlots | None = None
    ) -> Tensor:
        """Logits of the rows that ask for them, on the device, in float32."""
        static = self._static.get(id(model))
        shape = static.shape_of(rows) if static else None
        self.graph_tokens = shape.tokens if shape else 0
        with self._here():
            if static and shape:
                return static.run(rows, shape)
            batch = step_batch(rows, self.block_tokens).to(self.device)
            return forward(model, batch, cache, slots)

    def _here(self) -> AbstractContextManager[object]:
        """Kernels started in this context run on this device; Triton asks torch for the current one."""
        cuda: Any = torch.cuda
        return cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()

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
