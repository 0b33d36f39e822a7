"""The page that asks: where the scenario comes from, and what is in it."""

from __future__ import annotations

import streamlit as st

from advisor.web import asking, show, state


def page() -> None:
    """Pick, upload or edit a scenario; ask."""
    st.title("How should I serve my LoRA adapters?")
    if "address_error" in st.session_state:
        st.error(show.plain(st.session_state["address_error"]))
    left, right = st.columns(2)
    left.selectbox(
        "Start from an example",
        list(state.examples()),
        index=list(state.examples()).index(state.FIRST_EXAMPLE),
        key="example",
        on_change=_load,
    )
    right.file_uploader("or upload a scenario", type=["yaml", "yml"], key="upload", on_change=_upload)
    st.caption(f"In the editor: {show.plain(state.origin())}")
    with st.expander("The scenario: edit it here"):
        text = st.text_area(
            "YAML",
            state.scenario_text(),
            key=f"editor {state.edition()}",
            height=460,
            label_visibility="collapsed",
        )
        state.set_scenario_text(text)
    for problem in state.problems():
        st.error(show.plain(problem.sentence))
    question = state.question()
    if st.button("Recommend", type="primary", key="recommend", disabled=question is None):
        assert question is not None
        asking.start(question)
        st.switch_page(state.page_of("answer"))


def _load() -> None:
    name = st.session_state["example"]
    state.set_scenario_text(state.examples()[name].read_text(encoding="utf-8"), f"the example {name}")


def _upload() -> None:
    given = st.session_state["upload"]
    if given is not None:
        state.set_scenario_text(given.getvalue().decode("utf-8-sig", "replace"), given.name)
