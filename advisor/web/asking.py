"""Asks for an answer, shows how far it is, and puts it into the session when it is there."""

from __future__ import annotations

import streamlit as st

from advisor.errors import AdvisorError
from advisor.recommendation import Recommendation
from advisor.web import show, state
from advisor.web.cores import jobs
from advisor.web.question import Question
from advisor.web.work import Progress, Work

_LOOK_S = 0.4


def start(question: Question) -> None:
    """Begin to compute an answer; what was under way for this visitor is stopped."""
    stop()
    st.session_state.pop("answered", None)
    known = state.answers().find(question)
    if known is not None:
        state.set_answered(question, known)
        return
    try:
        processes = jobs()
    except AdvisorError as error:
        st.session_state["failed"] = str(error)
        return

    def compute(tell: Progress) -> Recommendation:
        from advisor import api

        return api.recommend(question.scenario, folder=question.folder, jobs=processes, progress=tell)

    st.session_state["asking"] = (question, Work(compute))


def stop() -> None:
    """End what is under way for this visitor, and forget what failed."""
    st.session_state.pop("failed", None)
    if "asking" in st.session_state:
        st.session_state.pop("asking")[1].stop()


def under_way() -> bool:
    """Show the answer under way, or why there is none; whether one is under way."""
    if "failed" in st.session_state:
        for sentence in st.session_state["failed"].splitlines():
            st.error(show.plain(sentence))
    if "asking" not in st.session_state:
        return False
    _watch()
    return "asking" in st.session_state


@st.fragment(run_every=_LOOK_S)
def _watch() -> None:
    if "asking" not in st.session_state:
        return
    question, work = st.session_state["asking"]
    if not work.look(_LOOK_S / 4):
        bar, button = st.columns([5, 1], vertical_alignment="center")
        bar.progress(work.share, show.plain(work.what))
        button.button("Stop", key="stop", on_click=stop, width="stretch")
        return
    del st.session_state["asking"]
    if work.fault is not None:
        raise work.fault
    if work.error is not None:
        st.session_state["failed"] = str(work.error)
    elif work.result is not None:
        state.answers().put(question, work.result)
        state.set_answered(question, work.result)
    st.rerun()
