"""Models and adapters that many tests of the engine read; written once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest


class Tiny(NamedTuple):
    """A model folder, its adapter folders, and a draft model that is like it in part."""

    model: Path
    adapters: dict[str, Path]
    draft: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A Llama of two layers in float32, with an adapter of each kind."""
    from tests.engine.models import ADAPTERS, save_adapter, save_model

    root = tmp_path_factory.mktemp("tiny")
    adapters = {
        name: save_adapter(root / name, seed=seed, **lora)
        for seed, (name, lora) in enumerate(ADAPTERS.items(), start=1)
    }
    return Tiny(save_model(root / "base"), adapters, save_model(root / "draft", num_hidden_layers=1))
