"""Command lines as text for a shell. Words that begin with $ are meant to be expanded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

_VARIABLE = re.compile(r"\$[A-Z_]+")


def quoted(word: str) -> str:
    """One word; its variables stay variables, all else is literal."""
    if not _VARIABLE.search(word):
        return shlex.quote(word)
    parts = re.split(r"(\$[A-Z_]+)", word)
    inside = "".join(
        part if _VARIABLE.fullmatch(part) else re.sub(r'([\\"$`])', r"\\\1", part) for part in parts
    )
    return f'"{inside}"'


def command(words: Sequence[str]) -> str:
    """One option a line, long lists wrapped, so that a person can read it and a change is one line."""
    lines: list[str] = []
    for word in words:
        text = quoted(word)
        if not lines or word.startswith("--") or len(lines[-1]) + len(text) > _WIDTH:
            lines.append(text)
        else:
            lines[-1] += f" {text}"
    return " \\\n  ".join(lines)


_WIDTH: Final = 100
