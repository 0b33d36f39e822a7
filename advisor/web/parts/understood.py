"""What was understood of the scenario, said back while it is edited; and the button that asks."""

from __future__ import annotations

import streamlit as st

from advisor.errors import AdvisorError
from advisor.recommendation import WorkloadFacts
from advisor.tables import detail
from advisor.web import show, state
from advisor.web.answers import key_of
from advisor.web.question import Question


def show_understood() -> bool:
    """Show the traffic as it would be simulated, or what is wrong; whether it can be asked."""
    question = state.question()
    if question is None:
        count = len(state.problems())
        st.warning(
            f"{count} {'field needs' if count == 1 else 'fields need'} mending before this can be asked."
        )
        return False
    facts, wrong = _looked(question)
    for sentence in wrong:
        st.error(show.plain(sentence))
    if facts is not None:
        _facts(facts)
    return facts is not None


def _facts(facts: WorkloadFacts) -> None:
    rows = detail.workload(facts).written()
    st.markdown("\n".join(f"- {show.plain(name)}: **{show.plain(value)}**" for name, value in rows))
    for note in facts.notes:
        st.caption(show.plain(note))


def _looked(question: Question) -> tuple[WorkloadFacts | None, tuple[str, ...]]:
    """The facts, or the faults that only show when everything is looked up; kept for the scenario."""
    from advisor import api

    key = key_of(question)
    known = st.session_state.get("looked")
    if known is None or known[0] != key:
        facts: WorkloadFacts | None = None
        wrong: tuple[str, ...] = ()
        try:
            facts = api.look(question.scenario, folder=question.folder)
        except AdvisorError as error:
            wrong = state.sentences_of(error)
        known = st.session_state["looked"] = (key, facts, wrong)
    return known[1], known[2]
