"""The page with the reasons: from the base to this deployment, cause by cause, and how latency spreads."""

from __future__ import annotations

import streamlit as st

from advisor.tables import ranking
from advisor.web import asking, show, state
from advisor.web.parts.simulated import simulated


def page() -> None:
    """The reasons of the latest answer."""
    found = asking.whole_answer()
    if found is None:
        return
    question, rec = found
    st.title("Why is my LoRA slower than its base?", anchor=False)
    said = show.sections_of(rec)
    show.sections(said, "why")
    if rec.explanation is None:
        st.info("No option of this answer could be run, so there is nothing to explain. Answer says why.")
        return
    from advisor.report.inside import distributions

    option = rec.option(rec.explanation.option)
    inside = simulated(question, option)
    if inside is not None:
        show.section(distributions(inside))
    show.sections(said, "causes", "memory")
    if ranking.recommended(rec) is not None:
        st.page_link(state.page_of("inside"), label="See it run, request by request")
