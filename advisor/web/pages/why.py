"""The page with the reasons: from the base to this deployment, cause by cause."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.web import asking, show, state

_SECTIONS: Final = ("why", "causes")


def page() -> None:
    """The reasons of the latest answer."""
    if asking.under_way():
        return
    found = state.answered()
    if found is None:
        st.title("No answer yet")
        st.page_link(state.page_of("ask"), label="Ask a question first")
        return
    said = show.sections_of(found[1])
    for key in _SECTIONS:
        if key in said:
            show.section(said[key])
