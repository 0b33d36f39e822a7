"""Text to tokens and back. Without a tokenizer prompts are token ids, or bytes, and answers are bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError

_UNFINISHED = "\ufffd"


class Wording:
    """A model's tokenizer.json, or bytes."""

    def __init__(self, model_dir: Path, vocab_size: int) -> None:
        """Raises InputError: the file cannot be read."""
        self._vocab = vocab_size
        file = model_dir / "tokenizer.json"
        self._tokenizer: Any = None
        if file.exists():
            try:
                from tokenizers import Tokenizer
            except ImportError:
                return
            try:
                self._tokenizer = Tokenizer.from_file(str(file))
            except Exception as error:  # noqa: BLE001 - the package raises plain exceptions for bad files
                raise InputError(f"{file}: is no tokenizer: {error}") from None

    def ids(self, text: str) -> list[int]:
        """Tokens of a text."""
        if self._tokenizer is not None:
            return list(self._tokenizer.encode(text).ids)
        return [1 + byte % (self._vocab - 1) for byte in text.encode()]

    def text(self, ids: Sequence[int]) -> str:
        """Text of tokens."""
        if self._tokenizer is not None:
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
        return bytes((token - 1) % 256 for token in ids).decode("utf-8", "replace")


class Stream:
    """The text of a growing answer in parts: no half characters, nothing behind a stop string."""

    def __init__(self, wording: Wording, stops: Sequence[str]) -> None:
        self._wording, self._stops = wording, [stop for stop in stops if stop]
        self._ids: list[int] = []
        self._sent = 0
        self.stopped = False

    def add(self, tokens: Sequence[int], *, last: bool) -> str:
        """The text that may be shown now."""
        self._ids += tokens
        text = self._wording.text(self._ids)
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            text = text[: min(found)]
        elif not last:
            text = self._settled(text)
        part, self._sent = text[self._sent :], max(self._sent, len(text))
        return part

    def _settled(self, text: str) -> str:
        """Hold back half characters, and what may become a stop string."""
        while text.endswith(_UNFINISHED):
            text = text[:-1]
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    text = text[:-size]
                    break
        return text
