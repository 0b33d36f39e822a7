"""A model below the engine, and steps for it: what tests of fixed shapes share."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from calibration.engine.batch import Row
from calibration.engine.lora import pack
from calibration.engine.peft import describe_adapter, read_adapter
from calibration.engine.runner import Runner
from tests.engine.conftest import Tiny

BLOCK, BLOCKS, SEATS = 4, 96, 20
TOLERANCE = 1e-4


class Bench:
    """One model in its own shapes or in fixed ones, with adapters in its slots: rows in, logits out."""

    def __init__(
        self, tiny: Tiny, graphs: str, widths: tuple[int, ...], device: str = "cpu", dtype: str = "float32"
    ) -> None:
        self.runner = Runner(device, BLOCK, graphs)
        self.model = self.runner.load_model(tiny.model, dtype, BLOCKS)
        self.cache = self.runner.kv_cache(self.model, BLOCKS)
        self.slots = self.runner.lora_slots(self.model, len(tiny.adapters), 8)
        assert self.slots is not None
        architecture = self.model.architecture
        for slot, folder in enumerate(tiny.adapters.values()):
            deltas = read_adapter(describe_adapter(folder, architecture.shape, 8), architecture.shape)
            self.slots.write(slot, pack(deltas, architecture, 8, self.model.weights.embedding.dtype))
        self.runner.pad_decodes(self.model, self.cache, self.slots, widths, SEATS)

    def logits(self, rows: list[Row]) -> Tensor:
        return self.runner.forward(self.model, rows, self.cache, self.slots)


def steps(seed: int, width: int, slots: tuple[int, ...]) -> list[list[Row]]:
    """A prefill of all, then decodes of a changing company; a sequence's blocks are one list that grows."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(BLOCKS).tolist()
    lengths = rng.integers(1, 9, SEATS).tolist()
    slot_of = rng.choice(slots, SEATS).tolist()
    tables: list[list[int]] = [[] for _ in lengths]
    told = []
    for turn in range(6):
        who = range(SEATS) if turn == 0 else rng.permutation(SEATS)[: rng.integers(1, SEATS + 1)].tolist()
        rows = []
        for one in who:
            new = lengths[one] if turn == 0 else int(rng.integers(1, width + 1))
            context = 0 if turn == 0 else lengths[one]
            while len(tables[one]) * BLOCK < context + new:
                tables[one].append(blocks.pop())
            outputs = int(rng.integers(0, new + 1)) if turn == 0 else new
            tokens = rng.integers(0, 97, new).tolist()
            rows.append(Row(tokens, context, tables[one], slot_of[one], outputs))
            if turn:
                lengths[one] += int(rng.integers(1, new + 1))  # some drafts are rejected
        told.append(rows)
    return told
