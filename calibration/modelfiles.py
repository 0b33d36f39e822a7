"""From what a user names to a model folder: the tiny family, a folder with weights, or only a shape."""

from __future__ import annotations

import os
from pathlib import Path

from advisor.catalog.resolve import resolve_model
from advisor.errors import InputError
from calibration import tinymodels

TINY = "tiny"


def model_folder(name: str, *, dtype: str = "auto", scratch: Path | None = None) -> Path:
    """The folder of a model.

    Args:
        name: tiny, a folder with config.json and weights, or (weights made at random) a config.json or a
            catalog name.
        dtype: of random weights; auto is bfloat16.
        scratch: where random weights go; None: a cache folder of the user.

    Raises:
        InputError: no such model, or random weights that do not fit into memory.
    """
    if name == TINY:
        return tinymodels.model_dir()
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise InputError(f"{path}: has no config.json; allowed: a model folder in Hugging Face layout.")
        return path
    from calibration.randomweights import write_model

    shape = resolve_model(name, Path())
    kind = "bfloat16" if dtype == "auto" else dtype
    folder = (scratch or cache_folder()) / f"{Path(shape.name).name.replace('/', '-')}-{kind}"
    return write_model(shape, folder, dtype=kind)


def cache_folder() -> Path:
    """Where made-up weights are kept: LORA_ADVISOR_CACHE, else the user's cache."""
    given = os.environ.get("LORA_ADVISOR_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "lora-advisor"


def named_adapters(given: tuple[str, ...], model: str) -> dict[str, Path]:
    """Adapters as NAME=FOLDER or FOLDER (its name is the folder's); of the tiny family all, if none is given.

    Raises:
        InputError: a name twice.
    """
    if not given and model == TINY:
        return tinymodels.adapter_dirs()
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text)
        name = name if equals else path.name
        if name in found:
            raise InputError(f"--adapter names {name!r} twice; allowed: once. Write NAME=FOLDER.")
        found[name] = path
    return found
