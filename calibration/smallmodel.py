"""A made-up small model, and made-up adapters: time does not depend on what weights say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from advisor.spec.model import ModelShape
from calibration.modelfiles import cache_folder
from calibration.randomweights import write_adapter, write_model

SMALL: Final = ModelShape(
    name="small", hidden_size=512, layers=8, heads=8, kv_heads=4, head_dim=64, intermediate_size=1408,
    vocab_size=4096, tie_word_embeddings=True,
)  # fmt: skip
"""About 26 million parameters: on one core a step takes around ten times the tiny model's."""


def small_model() -> Path:
    """Folder of a Llama of this shape with random float32 weights, in the user's cache."""
    return write_model(SMALL, cache_folder() / "small", dtype="float32", max_positions=2048)


def made_up_adapters(model_dir: Path, count: int, rank: int) -> dict[str, Path]:
    """PEFT folders a0, a1, ... for a model, in the user's cache; those that are there are kept.

    Args:
        model_dir: whose shape and dtype they have.
        count: how many.
        rank: of each, on all linear modules.

    Raises:
        InputError: no such model, or one that the engine does not compute.
    """
    from calibration.engine.config import read_architecture

    architecture = read_architecture(model_dir)
    shape, dtype = architecture.shape, architecture.stored_dtype
    key = f"{shape.layers}x{shape.hidden_size}x{shape.intermediate_size}x{shape.heads}x{shape.kv_heads}"
    found = {}
    for index in range(count):
        folder = cache_folder() / "adapters" / f"{key}x{shape.head_dim}-{dtype}-r{rank}" / f"a{index}"
        if not (folder / "adapter_config.json").exists():
            write_adapter(shape, folder, rank, dtype=dtype, seed=index)
        found[f"a{index}"] = folder
    return found
