"""Tables that a program writes into a page between two markers, so that the words around them stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from advisor.errors import InputError
from advisor.files import write_text

ROOT = Path(__file__).resolve().parent.parent


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def replace_block(page: Path, name: str, text: str) -> None:
    """Replace what lies between `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page.

    Raises:
        InputError: the page or its markers are missing.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    content = page.read_text() if page.is_file() else ""
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(end) < content.index(begin):
        raise InputError(
            f"{page.name}: lacks the markers {begin} and {end}; allowed: one of each, in this order."
        )
    before, rest = content.split(begin)
    write_text(page, f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end)[1]}")
