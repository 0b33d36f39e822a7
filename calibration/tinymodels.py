"""The tiny family that is shipped in data/models: paths, and held-out text as prompts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from advisor.datafiles import data_dir
from advisor.errors import InputError

STYLES = ("shout", "terse", "json")


def model_dir() -> Path:
    """The base model."""
    return _folder("base")


def adapter_dirs() -> dict[str, Path]:
    """PEFT folders by style."""
    return {style: _folder(f"adapters/{style}") for style in STYLES}


def draft_dirs() -> dict[str, Path]:
    """Draft models: stock, and one for each style."""
    return {name: _folder(f"draft-{name}") for name in ("stock", *STYLES)}


def prompts(style: str, count: int, tokens: int, seed: int = 0) -> list[list[int]]:
    """Windows of held-out text in a style (or base), as token ids.

    Raises:
        InputError: no such style, or windows longer than the text.
    """
    ids = _held_out(style)
    if tokens >= len(ids):
        raise InputError(f"prompts: {tokens} tokens of style {style}; allowed: fewer than {len(ids)}.")
    starts = np.random.default_rng(seed).integers(0, len(ids) - tokens, count)
    return [list(ids[start : start + tokens]) for start in starts]


def tokenizer(folder: Path | None = None) -> Any:
    """The tokenizer of a model folder (the tiny base's if left out).

    Raises:
        InputError: the folder has no tokenizer.json, or the package tokenizers is missing.
    """
    file = (folder or model_dir()) / "tokenizer.json"
    if not file.exists():
        raise InputError(f"{file}: is missing; allowed: a model folder with its tokenizer.")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(f"{file}: needs the package tokenizers. pip install tokenizers.") from None
    return Tokenizer.from_file(str(file))


@cache
def _held_out(style: str) -> tuple[int, ...]:
    file = data_dir() / "models" / "held-out" / f"{style}.txt"
    if not file.exists():
        raise InputError(f"style is {style!r}; allowed: base, {', '.join(STYLES)}.")
    return tuple(tokenizer().encode(file.read_text(encoding="utf-8")).ids)


def _folder(name: str) -> Path:
    folder = data_dir() / "models" / name
    if not folder.exists():
        raise InputError(f"{folder}: is missing; train it with python -m benchmarks.train_models.")
    return folder
