"""From what a scenario names to what it means: a model by name, by config.json, or by folder."""

from __future__ import annotations

from pathlib import Path

from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.spec.huggingface import model_from_config
from advisor.spec.model import ModelShape
from advisor.spec.paths import path_under


def resolve_model(name_or_path: str, folder: Path) -> ModelShape:
    """Return the model that a scenario names.

    Args:
        name_or_path: a catalog name, a config.json, or a folder that holds one.
        folder: where relative paths start, the scenario file's folder.

    Raises:
        InputError: neither a known name nor a path that exists, or a config.json with a fault.
    """
    looks_like_path = name_or_path.endswith(".json") or name_or_path.startswith((".", "/", "~"))
    try:
        path = path_under(folder, name_or_path)
    except InputError:
        if looks_like_path:
            raise
        return model(name_or_path)
    if name_or_path.endswith(".json") or (path / "config.json").is_file():
        return model_from_config(path)
    if looks_like_path or path.is_dir():
        raise InputError(
            f"model: {path / 'config.json'}: no such file; allowed: a catalog name, or a path to config.json."
        )
    return model(name_or_path)
