"""Device memory of one replica: what is left for the KV cache after weights, slots, draft and overhead."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.profile import DraftTerm, MemoryTerm
from advisor.recommendation import MemoryPlan
from advisor.spec.model import ModelShape

_COLUMN_PARALLEL = frozenset({"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"})


@dataclass(frozen=True, slots=True)
class Room:
    """The device memory that an engine may use, and how it divides a KV cache."""

    device_bytes: float
    memory_share: float
    tensor_parallel: int
    block_tokens: int


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """Adapter slots of one replica: how many, padded to which rank, on which modules."""

    count: int
    rank: int
    modules: tuple[str, ...]


def slot_bytes(model: ModelShape, slots: SlotSpec, tensor_parallel: int) -> float:
    """Bytes of one slot on each device, two bytes an element.

    Under tensor parallelism one of A and B is sharded with the base layer and the other is whole on
    every device: B of column-parallel modules, A of row-parallel ones (vLLM without
    fully_sharded_loras). Slot = layers · r · Σ_m (d_in + d_out), the sharded side divided by tp.
    Source: engines.md 5.3, facts.md 1.1.
    """
    total = 0.0
    for module in slots.modules:
        d_in, d_out = model.linear_shape(module)
        sharded, whole = (d_out, d_in) if module in _COLUMN_PARALLEL else (d_in, d_out)
        total += whole + sharded / tensor_parallel
    return model.layers * slots.rank * total * 2.0


def plan_memory(
    model: ModelShape,
    term: MemoryTerm,
    room: Room,
    *,
    slots: SlotSpec | None = None,
    draft: DraftTerm | None = None,
) -> MemoryPlan:
    """Lay out one device's memory. `kv_blocks` 0 means that the model does not fit.

    usable = share · device;  kv = usable - weights/tp - overhead - slots - draft weights
    A token's KV takes kv_bytes_per_token / min(tp, kv_heads) on a device (heads are replicated beyond),
    plus the draft model's, which is not sharded.
    """
    tensor_parallel = room.tensor_parallel
    usable = room.memory_share * room.device_bytes
    weights = model.weights_bytes / tensor_parallel
    slot_total = (
        0.0 if slots is None else slots.count * slot_bytes(model, slots, tensor_parallel) * term.slot_factor
    )
    draft_bytes = 0.0 if draft is None else draft.weights_bytes
    kv = max(0.0, usable - weights - term.overhead_bytes - slot_total - draft_bytes)
    token_bytes = model.kv_bytes_per_token / min(tensor_parallel, model.kv_heads)
    token_bytes += 0.0 if draft is None else draft.kv_bytes_per_token
    blocks = math.floor(kv / (token_bytes * room.block_tokens))
    return MemoryPlan(
        device_bytes=room.device_bytes,
        usable_bytes=usable,
        weights_bytes=weights,
        overhead_bytes=term.overhead_bytes,
        slots_bytes=slot_total,
        draft_bytes=draft_bytes,
        kv_bytes=kv,
        kv_blocks=blocks,
        kv_tokens=blocks * room.block_tokens,
    )
