"""An option of the latest answer, simulated again for the pages that look inside."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.inside.run import Inside
from advisor.recommendation import Option
from advisor.web import watch
from advisor.web.answers import key_of
from advisor.web.question import Question
from advisor.web.work import Tell, Work

_SLOT: Final = "inside"


def simulated(question: Question, option: Option, pool: str | None = None) -> Inside | None:
    """The latest simulation of this visitor, if it is the one that is asked for; else it is begun.

    Args:
        question: that the option answers.
        option: with its knobs.
        pool: its name; None: the busiest.

    Returns:
        None while it runs, or where it could not be run; both are shown.
    """
    wanted = (key_of(question), option.key, pool)

    def keep(found: Inside) -> None:
        st.session_state["inside"] = (st.session_state["inside asked"], found)

    known = st.session_state.get("inside")
    if known is not None and known[0] == wanted:
        inside: Inside = known[1]
        return inside
    if st.session_state.get("inside asked") != wanted:
        st.session_state["inside asked"] = wanted

        def compute(tell: Tell) -> Inside:
            from advisor.inside.run import look_inside

            tell(0.1, f"simulating {option.key} and its base")
            found = look_inside(question.scenario, option, folder=question.folder, pool=pool)
            tell(1.0, "done")
            return found

        watch.begin(_SLOT, Work(compute))
    if not watch.show_progress(_SLOT, keep) and st.button("Simulate again", key="inside again"):
        del st.session_state["inside asked"]
        st.rerun()
    return None
