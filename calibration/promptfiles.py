"""Prompts for measurements that need behaviour: held-out text of the tiny family, or a user's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.files import read_text
from calibration import tinymodels


def prompts_from(source: str, model_dir: Path, count: int, tokens: int, seed: int) -> Sequence[Sequence[int]]:
    """Token ids of prompts.

    Args:
        source: a style of the tiny family, or a .jsonl file whose lines are lists of token ids, texts, or
            objects with `prompt` (either of them).
        model_dir: whose tokenizer.json reads texts.
        count: how many; of a file at most so many, drawn with the seed if it has more.
        tokens: length of held-out windows; a file's prompts are cut to it.
        seed: which.

    Raises:
        InputError: no such style, or a line that is no prompt.
    """
    if source in ("base", *tinymodels.STYLES):
        return tinymodels.prompts(source, count, tokens, seed)
    found = []
    for number, line in enumerate(read_text(source).splitlines(), 1):
        if line.strip():
            found.append(_ids(line, f"{source}: line {number}", model_dir)[:tokens])
    if not found:
        raise InputError(f"{source}: holds no prompt; allowed: at least one line.")
    if len(found) > count:
        chosen = np.random.default_rng(seed).choice(len(found), count, replace=False)
        found = [found[index] for index in sorted(chosen)]
    return found


def _ids(line: str, where: str, model_dir: Path) -> list[int]:
    allowed = "allowed: a list of token ids, a text, or an object with prompt."
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: is no JSON; {allowed}") from None
    if isinstance(value, dict):
        value = value.get("prompt")
    if isinstance(value, str) and value:
        return list(tinymodels.tokenizer(model_dir).encode(value).ids)
    if isinstance(value, list) and value and all(type(token) is int for token in value):
        return value
    raise InputError(f"{where}: is {str(value)[:40]!r}; {allowed}")
