"""What the operations work on: the engine's model, KV cache and slots on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from calibration.engine.batch import Row, StepBatch, step_batch
from calibration.engine.kv import KvCache
from calibration.engine.lora import LoraSlots
from calibration.engine.model import Model
from calibration.engine.runner import Runner
from calibration.microbench.timing import Timer


@dataclass(slots=True)
class Bench:
    """Made once; operations borrow from it."""

    runner: Runner
    model: Model
    cache: KvCache
    limits: EngineLimits
    timer: Timer
    _slots: dict[tuple[int, int], LoraSlots] = field(default_factory=dict)

    @classmethod
    def of(cls, model_dir: Path, device: str, dtype: str, limits: EngineLimits, kv_blocks: int) -> Bench:
        """Load the model (InputError if the engine cannot)."""
        runner = Runner(device, limits.kv_block_tokens)
        model = runner.load_model(model_dir, dtype, kv_blocks)
        return cls(runner, model, runner.kv_cache(model, kv_blocks), limits, Timer(runner.device))

    @property
    def shape(self) -> ModelShape:
        """The model's sizes."""
        return self.model.architecture.shape

    @property
    def kv_blocks(self) -> int:
        """Blocks of the cache."""
        return int(self.cache.keys.shape[1])

    def random(self, *size: int) -> Tensor:
        """Numbers on the device, in the model's dtype."""
        like = self.model.weights.embedding
        return torch.randn(size, device=like.device).to(like.dtype)

    def batch(self, rows: Sequence[Row]) -> StepBatch:
        """A step's tensors on the device."""
        return step_batch(rows, self.limits.kv_block_tokens).to(self.runner.device)

    def rows(self, sequences: int, new_tokens: int, context: int, *, spread: bool = False) -> list[Row]:
        """Sequences of one kind, each with blocks of its own as far as there are some.

        Spread: contexts lie evenly from a third of the mean to five thirds, as in a batch of real requests.
        """
        tokens = [1 + i % (self.shape.vocab_size - 1) for i in range(new_tokens)]
        found, first = [], 0
        for index in range(sequences):
            own = context
            if spread and sequences > 1:
                own = round(context * (1 / 3 + 4 / 3 * index / (sequences - 1)))
            blocks = -(-(own + new_tokens) // self.limits.kv_block_tokens)
            places = [(first + place) % self.kv_blocks for place in range(blocks)]
            found.append(Row(tokens, own, places, outputs=1))
            first += blocks
        return found

    def prompts(self, tokens: int, slot: int = -1) -> list[Row]:
        """Prompts that have so many tokens together, none longer than the model has positions for."""
        most = min(512, int(self.model.cos.shape[0]))
        parts = [most] * (tokens // most) + [tokens % most] * (tokens % most > 0)
        rows = [row for part in parts for row in self.rows(1, part, 0)]
        return [replace(row, slot=slot) for row in rows]

    def slots(self, slots: int, rank: int) -> LoraSlots:
        """Adapter slots with random weights; the last kind is kept."""
        key = (slots, rank)
        if key not in self._slots:
            self._slots.clear()
            made = LoraSlots.empty(self.model.architecture, slots, rank, self.model.weights.embedding)
            for tensor in (*made.a.values(), *made.b.values()):
                tensor.normal_(0, 0.02)
            self._slots[key] = made
        return self._slots[key]
