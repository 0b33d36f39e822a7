"""One part of an answer: words, tables, figures, as data that every face sets in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advisor.tables.table import Table

if TYPE_CHECKING:
    from advisor.plots.theme import Drawn


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its words.

    Attributes:
        name: short and stable; names the picture file.
        caption: what to see in it.
        draw: makes the chart; called only by a face that shows it.
    """

    name: str
    caption: str
    draw: Callable[[], Drawn]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the answer.

    Attributes:
        detail: what a hurried reader may skip.
        tables_first: the table is the message, the figures illustrate it.
    """

    key: str
    title: str
    words: tuple[str, ...] = ()
    bullets: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    detail: bool = False
    tables_first: bool = False
