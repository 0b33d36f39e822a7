"""What is fuzzed: one reader, contents that are good for it, and what may come of any other content."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.errors import AdvisorError
from tests.fuzz.forms import FORMS, FormName

Read = Callable[[bytes, Path], object]
"""Takes a content, and a folder of its own to write into."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader.

    Attributes:
        name: as the table of docs/security.md has it.
        read: the reader; may return or raise an AdvisorError, nothing else.
        good: contents that it takes without an error.
        form: how a content may be taken apart.
    """

    name: str
    read: Read
    good: Callable[[], list[bytes]]
    form: FormName = "bytes"

    def outcome(self, content: bytes, folder: Path) -> str:
        """Read a content: "" if the reader returned, else its sentences.

        Raises:
            AssertionError: a sentence that steers a terminal, cannot be encoded, or is a traceback.
            Exception: whatever else the reader raises: a fault.
        """
        try:
            self.read(content, folder)
        except AdvisorError as error:
            message = str(error)
            assert message, "an error without a sentence"
            assert "Traceback" not in message
            assert message.replace("\n", "").isprintable(), f"steers a terminal: {message!r}"
            return message
        return ""

    def values(self) -> list[Any]:
        """The good contents, taken apart."""
        return [FORMS[self.form].parse(content) for content in self.good()]


def in_file(reader: Callable[[Path], object], name: str) -> Read:
    """A reader of a path, given the content in a file of this name."""

    def read(content: bytes, folder: Path) -> object:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return reader(file)

    return read


def of_json(reader: Callable[[Any, Path], object]) -> Read:
    """A reader of plain data; what is no JSON never reaches it."""

    def read(content: bytes, folder: Path) -> object:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return reader(value, folder)

    return read
