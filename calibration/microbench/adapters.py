"""Adapter files that a calibration loads: the given ones as they are, made ones where there are too few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape, adapter_bytes
from calibration.engine.config import read_architecture
from calibration.engine.peft import describe_adapter
from calibration.microbench.wish import Wish
from calibration.randomweights import write_adapter


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A PEFT folder on disk."""

    folder: Path
    rank: int
    weight_bytes: float  # as advisor.spec.model.adapter_bytes counts them, of the modules that it adapts


def adapter_file(folder: Path, shape: ModelShape, max_lora_rank: int | None = None) -> AdapterFile:
    """Rank and modules, read from the folder (InputError: one that the engine cannot serve)."""
    found = describe_adapter(folder, shape, max_lora_rank)
    modules = tuple(sorted({module for _, module in found.ranks}))
    return AdapterFile(folder, found.rank, float(adapter_bytes(shape, modules, found.rank)))


def ranks_of(model_dir: Path, limits: EngineLimits, adapters: Mapping[str, Path]) -> tuple[int, ...]:
    """Ranks to time kernels at: those of the adapters, the largest, and a half and a quarter of it."""
    if not limits.max_loras:
        return ()
    shape = read_architecture(model_dir).shape
    own = {adapter_file(folder, shape, limits.max_lora_rank).rank for folder in adapters.values()}
    most = limits.max_lora_rank
    return tuple(sorted(own | {max(1, most // 4), max(1, most // 2), most}))


def slot_files(wish: Wish, shape: ModelShape, scratch: Path, dtype: str) -> dict[str, Path]:
    """Adapters by name for every slot: the given ones first, then random ones of the largest rank."""
    slots, rank = wish.limits.max_loras, wish.limits.max_lora_rank
    names = dict(list(wish.adapters.items())[:slots])
    for index in range(slots - len(names)):
        made = write_adapter(shape, scratch / f"own-{index}", rank, dtype=dtype, seed=100 + index)
        names[f"made-{index}"] = made
    return names


def load_files(wish: Wish, shape: ModelShape, scratch: Path, dtype: str) -> list[AdapterFile]:
    """Adapters to load: the given ones, with made ones until there are two ranks to draw a line through."""
    given = [adapter_file(folder, shape, wish.limits.max_lora_rank) for folder in wish.adapters.values()]
    top = max(max((file.rank for file in given), default=wish.limits.max_lora_rank), 4)
    ranks = {file.rank for file in given}
    missing = set() if len(ranks) > 1 else {max(1, top // 4), top} - ranks
    made = [
        adapter_file(write_adapter(shape, scratch / f"r{rank}-{index}", rank, dtype=dtype, seed=index), shape)
        for rank in sorted(missing)
        for index in range(4)
    ]
    return sorted(given + made, key=lambda file: file.rank)
