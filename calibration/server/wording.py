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
    """The text of a growing answer in parts: no half characters, nothing behind a stop string.

    Only the last few tokens are decoded again with new ones, so that a long answer costs no more a token.
    """

    def __init__(self, wording: Wording, stops: Sequence[str]) -> None:
        self._wording, self._stops = wording, [stop for stop in stops if stop]
        self._ids: list[int] = []  # the last part whose text is known, then tokens without text yet
        self._known = 0
        self._text = ""  # known, not shown yet
        self.stopped = False

    def add(self, tokens: Sequence[int], *, last: bool) -> str:
        """The text that may be shown now."""
        self._ids += tokens
        self._decode(last=last)
        found = [at for at in (self._text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            shown = min(found)
        else:
            shown = len(self._text) if last else self._settled()
        part, self._text = self._text[:shown], self._text[shown:]
        return part

    def _decode(self, *, last: bool) -> None:
        """Move tokens that end with a whole character into the text."""
        before, after = self._wording.text(self._ids[: self._known]), self._wording.text(self._ids)
        if not last and after.endswith(_UNFINISHED):
            return
        self._text += after[len(before) :]
        self._ids = self._ids[self._known :]
        self._known = len(self._ids)

    def _settled(self) -> int:
        """How much of the text cannot become a stop string."""
        text, shown = self._text, len(self._text)
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    shown = min(shown, len(text) - size)
                    break
        return shown
