"""Sections of the report as page elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import streamlit as st

from advisor.plots.theme import dressed
from advisor.report.section import Figure, Section
from advisor.tables import ranking, units
from advisor.tables.table import Column, Table, escape
from advisor.web import state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from advisor.recommendation import Option, Recommendation


_FEW: Final = 3
_LONG: Final = 24


def plain(text: str) -> str:
    """A text that Streamlit's Markdown shows as it is."""
    return escape(text).replace("$", "\\$").replace(":", "\\:").replace("~", "\\~")


def nothing_yet() -> None:
    """Say that there is no answer, and where to ask."""
    st.title("No answer yet")
    st.markdown("Describe what you serve; the answer comes within seconds.")
    st.page_link(state.page_of("ask"), label="Ask a question first", icon=":material/arrow_back:")


def title(rec: Recommendation) -> None:
    """The answer in one sentence with its price."""
    st.title(plain(ranking.headline(rec)), anchor="answer")


def figures(rec: Recommendation) -> None:
    """The figures that decide, side by side."""
    best = ranking.recommended(rec)
    if best is None:
        return
    cells = []
    if best.usd_per_hour is not None:
        mtok = "" if best.usd_per_mtok is None else f"{units.usd(best.usd_per_mtok)} USD per million tokens"
        cells.append(("cost, USD an hour", units.usd(best.usd_per_hour), mtok))
    for check in best.checks:
        verdict = "holds" if check.holds else "broken"
        asked = f"{verdict}: asked {ranking.limit_value(check, check.limit)}"
        cells.append((ranking.limit_name(check), ranking.limit_value(check, check.value), asked))
    if best.headroom is not None:
        cells.append(("headroom", units.times(best.headroom), "of the asked load"))
    cells.append(_certain(rec, best))
    tiles(cells)


def tiles(cells: Sequence[tuple[str, str, str]]) -> None:
    """Figures side by side, each with its name and a note."""
    for place, (name, value, note) in zip(st.columns(len(cells)), cells, strict=True):
        place.metric(name, value, note or None, delta_color="off", delta_arrow="off", border=True)


def _certain(rec: Recommendation, best: Option) -> tuple[str, str, str]:
    found = rec.certainty
    if found is None:
        return "figures are", best.origin.value, "the least certain that matters"
    return "stands in", f"{found.stands} of {found.draws}", f"draws; figures are {best.origin.value}"


def sections(said: Mapping[str, Section], *keys: str) -> None:
    """Those of an answer's sections that it has."""
    for key in keys:
        if key in said:
            section(said[key])


def sections_of(rec: Recommendation) -> dict[str, Section]:
    """Every section of an answer, by its key."""
    from advisor.report.sections import sections as all_of

    return {one.key: one for one in all_of(rec)}


def section(one: Section) -> None:
    """Words, figures and tables of one section."""
    st.subheader(plain(one.title), anchor=one.key)
    for words in one.words:
        st.markdown(plain(words))
    if one.bullets:
        st.markdown("\n".join(f"- {plain(bullet)}" for bullet in one.bullets))
    if one.tables_first:
        _tables(one)
    for pair in (one.figures[i : i + 2] for i in range(0, len(one.figures), 2)):
        for place, figure in zip(
            st.columns(len(pair)) if len(pair) > 1 else [st.container()], pair, strict=True
        ):
            with place:
                chart(figure)
    if not one.tables_first:
        _tables(one)


def _tables(one: Section) -> None:
    for content in one.tables:
        table(content)


def chart(figure: Figure, on_select: Callable[[Any], None] | None = None) -> None:
    """A chart in the visitor's theme, its caption, and its data as a file.

    Args:
        figure: with its words.
        on_select: called with what was selected on the chart, before the page is run again.
    """
    from advisor.plots.data import csv_of

    drawn = figure.draw()
    shown = dressed(drawn, dark=st.context.theme.type == "dark")
    wide = "hconcat" not in shown.to_dict()
    width: Literal["content", "stretch"] = "stretch" if wide else "content"
    if wide:  # to the page's width, but as high as it was made
        shown = shown.properties(autosize={"type": "fit-x", "contains": "padding"})
    if on_select is not None:  # a picture alone: marks of a selection have no words for readers
        shown = shown.properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    key = f"chart-{figure.name}"
    st.altair_chart(
        shown,
        width=width,
        theme=None,
        alt=figure.caption,
        key=key,
        on_select="ignore" if on_select is None else lambda: on_select(st.session_state[key]),
    )
    st.caption(plain(figure.caption))
    st.download_button(
        "Data (CSV)",
        lambda: csv_of(drawn),
        f"{figure.name}.csv",
        "text/csv",
        key=f"data-{figure.name}",
        type="tertiary",
        icon=":material/download:",
        help=f"The figures behind the chart: {figure.caption}",
        on_click="ignore",
    )


def table(content: Table) -> None:
    """A table that can be sorted; reasons of its rows below."""
    import pandas as pd

    heads = [column.heading for column in content.columns]
    rows = [
        [
            _rounded(c.number(cell), 6 if _is_money(content, c) else 3)
            for c, cell in zip(content.columns, row, strict=True)
        ]
        for row in content.rows
    ]
    marked = "recommended" in content.marks
    if marked:
        heads = ["", *heads]
        rows = [["→" if content.mark(i) == "recommended" else "", *row] for i, row in enumerate(rows)]
    st.dataframe(
        pd.DataFrame(rows, columns=heads),
        hide_index=True,
        placeholder=units.DASH,
        width="stretch" if _is_prose(content) else "content",
        key=f"table-{content.name}",
        column_config={
            c.heading: st.column_config.NumberColumn(format="%.2f")
            for c in content.columns
            if _is_money(content, c)
        },
    )
    st.caption(plain(content.caption))
    notes = [(row, note) for row, note in zip(content.written(), content.notes, strict=False) if note]
    if notes:
        st.markdown("\n".join(f"- **{plain(' on '.join(row[:2]))}**: {plain(note)}" for row, note in notes))


def _is_prose(content: Table) -> bool:
    """Whether a few columns hold long texts, so that the table takes the width that there is."""
    longest = max((len(cell) for row in content.written() for cell in row), default=0)
    return len(content.columns) <= _FEW and longest > _LONG


def _is_money(content: Table, column: Column) -> bool:
    """Whether a column holds amounts that are written in dollars and cents."""
    at = content.columns.index(column)
    return column.kind == "usd" and all((row[at] or 1.0) >= 1.0 for row in content.rows)  # type: ignore[operator]  # money is a number


def _rounded(cell: Any, digits: int) -> Any:
    return float(f"{cell:.{digits}g}") if isinstance(cell, float) else cell
