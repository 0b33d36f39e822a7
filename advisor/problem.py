"""One thing that is wrong with what a user gave, as data; every face renders the same sentence from it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

_WIDTH: Final = 60  # characters of a value that a sentence shows
_BLANKS: Final = "\n\u00a0\u202f"
_LONG_BITS: Final = 1024  # an integer above has no float


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""Stands for a value that was not given at all; None is a value (`null` in a file)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault, said as "source: field is value; allowed: rule. Mend.".

    Attributes:
        source: the file, option or address that holds the fault; empty if the text says it.
        field: the path inside the source, such as `adapters[0].rank`, or an option; empty for the whole.
        value: what was found there, or `ABSENT`.
        allowed: the rule, such as "at least 1 and at most 512".
        mend: where the user finds the right value, as a sentence.
        text: said in place of value and rule when the form does not fit.
    """

    source: str = ""
    field: str = ""
    value: object = ABSENT
    allowed: str = ""
    mend: str = ""
    text: str = ""

    @property
    def sentence(self) -> str:
        """The problem as one clear sentence, and the mend as a second one where it is known."""
        if self.text:
            said = ": ".join(part for part in (self.source, self.field, self.text) if part)
        else:
            found = "missing" if self.value is ABSENT else shown(self.value)
            rule = f"; allowed: {self.allowed}" if self.allowed else ""
            said = ": ".join(
                part for part in (self.source, f"{self.field or 'the content'} is {found}{rule}") if part
            )
        return printable(" ".join(_closed(part) for part in (said, self.mend) if part))


def printable(text: str) -> str:
    """Nothing that a file holds steers a terminal, or cannot be encoded (half a surrogate pair)."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _BLANKS else one.encode("unicode_escape").decode() for one in text
    )


def shown(value: object) -> str:
    """The value in the user's notation (null, true, 'text', [...]), cut at 60 characters."""
    text = _text(value, 3)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _text(value: object, levels: int) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > _LONG_BITS:  # Python refuses to write the longest ones
        return f"a number of {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    if isinstance(value, list | tuple | dict) and not levels:
        return "..."
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item, levels - 1) for item in value[:_WIDTH])}]"
    if isinstance(value, dict):
        items = itertools.islice(value.items(), _WIDTH)
        return f"{{{', '.join(f'{_text(key, 0)}: {_text(item, levels - 1)}' for key, item in items)}}}"
    return repr(value)


def _closed(sentence: str) -> str:
    sentence = sentence.strip()
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
