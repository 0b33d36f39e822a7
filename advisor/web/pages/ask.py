"""The page that asks: the scenario as a form, with what is wrong beside each field, and as text."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from advisor.web import asking, fields, show, state
from advisor.web.parts import adapters, advanced, allowed, source, target, traffic, understood


def page() -> None:
    """Start from a case or from scratch, change what is different, ask."""
    st.title("How should I serve my LoRA adapters?")
    source.start()
    for sentence in state.taken_failure():
        st.error(show.plain(sentence))
    fields.begin()
    form, side = st.columns([3, 1], gap="medium")
    with form:
        if state.is_yaml():
            _form()
        with st.expander("The scenario as YAML: import, edit, export", expanded=not state.is_yaml()):
            source.yaml()
        fields.other_faults()
    with side, st.container(border=True):
        st.subheader("As understood", anchor=False)
        ready = understood.show_understood()
        if st.button("Get the answer", type="primary", key="recommend", disabled=not ready, width="stretch"):
            question = state.question()
            assert question is not None  # the button is off otherwise
            asking.start(question)
            st.switch_page(state.page_of("answer"))
        st.caption("The ranking comes within seconds, the reasons a few seconds later.")


def _form() -> None:
    left, right = st.columns(2, gap="small")
    with left:
        _box("1 · Model and adapters", adapters.show_adapters)
        _box("3 · Latency target", target.show_target)
    with right:
        _box("2 · Traffic", traffic.show_traffic)
        _box("4 · What is allowed", allowed.show_allowed)
    with st.expander("Advanced: engine, own prices, how far to look"):
        advanced.show_advanced()


def _box(title: str, show_part: Callable[[], None]) -> None:
    with st.container(border=True):
        st.subheader(title, anchor=False)
        show_part()
