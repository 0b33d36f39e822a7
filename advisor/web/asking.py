"""Asks for an answer and puts it into the session when it is there."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.errors import AdvisorError
from advisor.recommendation import Recommendation
from advisor.web import show, state, watch
from advisor.web.cores import jobs
from advisor.web.question import Question
from advisor.web.work import Tell, Work

_SLOT: Final = "answer"


def start(question: Question) -> None:
    """Begin to compute an answer; what was under way for this visitor is stopped."""
    watch.stop(_SLOT)
    st.session_state.pop("answered", None)
    known = state.answers().find(question)
    if known is not None:
        state.set_answered(question, known)
        return
    try:
        processes = jobs()
    except AdvisorError as error:
        watch.fail(_SLOT, error)
        return

    def compute(tell: Tell) -> Recommendation:
        from advisor import api

        parts = api.recommend_in_parts(
            question.scenario, folder=question.folder, jobs=processes, progress=tell, sure=question.sure
        )
        for part in parts:
            tell.early(part)
        return part

    st.session_state["asked"] = question
    watch.begin(_SLOT, Work(compute))


def under_way() -> bool:
    """Show the answer under way, or why there is none; whether one is under way."""
    return watch.show_progress(_SLOT, _keep)


def preview() -> tuple[Question, Recommendation] | None:
    """The ranking of the answer under way, once it is there; its reasons are still missing."""
    work = watch.work_of(_SLOT)
    return None if work is None or work.early is None else (st.session_state["asked"], work.early)


def whole_answer() -> tuple[Question, Recommendation] | None:
    """The latest question and its answer; None, and the page says so, where there is none yet."""
    if under_way():
        return None
    found = state.answered()
    if found is None:
        show.nothing_yet()
    return found


def _keep(rec: Recommendation) -> None:
    question = st.session_state["asked"]
    state.answers().put(question, rec)
    state.set_answered(question, rec)
