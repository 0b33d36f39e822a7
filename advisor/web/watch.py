"""A piece of work of this visitor, shown while it runs and taken into the session when it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from advisor.errors import AdvisorError
from advisor.web import show, state
from advisor.web.work import Work

_LOOK_S: Final = 0.3


def begin(slot: str, work: Work[Any]) -> None:
    """Take up a piece of work under a name; what was under way there is stopped."""
    stop(slot)
    st.session_state[_key(slot)] = work


def stop(slot: str) -> None:
    """End what is under way, and forget what failed."""
    st.session_state.pop(_failed(slot), None)
    if _key(slot) in st.session_state:
        st.session_state.pop(_key(slot)).stop()


def fail(slot: str, error: AdvisorError) -> None:
    """Say with the next look why there is nothing."""
    st.session_state[_failed(slot)] = state.sentences_of(error)


def work_of(slot: str) -> Work[Any] | None:
    """What is under way; None: nothing."""
    found: Work[Any] | None = st.session_state.get(_key(slot))
    return found


def show_progress(slot: str, done: Callable[[Any], None]) -> bool:
    """Show how far the work is, with a button that stops it, or why it failed; whether it is under way.

    Args:
        slot: its name.
        done: called with the result as soon as it is there; the page is run again after it.
    """
    for sentence in st.session_state.get(_failed(slot), ()):
        st.error(show.plain(sentence))
    if work_of(slot) is None:
        return False
    _watch(slot, done)
    return work_of(slot) is not None


@st.fragment(run_every=_LOOK_S)
def _watch(slot: str, done: Callable[[Any], None]) -> None:
    work = work_of(slot)
    if work is None:  # stopped by the button, which runs this part of the page alone
        st.rerun()
    had = st.session_state.get("seen early") is work
    if not work.look(_LOOK_S / 2):
        bar, button = st.columns([6, 1], vertical_alignment="center")
        bar.progress(work.share, show.plain(work.what))
        button.button("Stop", key=f"stop {slot}", on_click=stop, args=(slot,), width="stretch")
        if work.early is not None and not had:
            st.session_state["seen early"] = work
            st.rerun()
        return
    del st.session_state[_key(slot)]
    if work.fault is not None:
        raise work.fault
    if work.error is not None:
        fail(slot, work.error)
    elif work.result is not None:
        try:
            done(work.result)
        except AdvisorError as error:
            fail(slot, error)
    st.rerun()


def _key(slot: str) -> str:
    return f"work: {slot}"


def _failed(slot: str) -> str:
    return f"failed: {slot}"
