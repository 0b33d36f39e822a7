"""The page to argue with: sliders, the choice decided again, break-even maps, tipping values."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.breakeven.answer import BreakEven
from advisor.errors import AdvisorError
from advisor.recommendation import Recommendation
from advisor.spec.scenario import scenario_to_yaml
from advisor.tables import changed as tables
from advisor.tables import ranking
from advisor.web import asking, show, state, watch
from advisor.web.answers import key_of
from advisor.web.cores import jobs
from advisor.web.parts.knobs import Knobs
from advisor.web.question import Question
from advisor.web.work import Tell, Work
from advisor.whatif.study import Verdict, WhatIf

_MAPS: Final = "maps"


def page() -> None:
    """What would be, with something different from the latest answer's question."""
    found = asking.whole_answer()
    if found is None:
        return
    question, rec = found
    st.title("What if?", anchor=False)
    try:
        ready = _ready(question, rec)
    except AdvisorError as error:
        for sentence in state.sentences_of(error):
            st.error(show.plain(sentence))
        return
    if not ready.again.kept:
        st.warning("No option of the answer could be simulated, so there is nothing to vary.")
        return
    _vary(ready, question, rec)
    _more(question, rec)


@st.fragment
def _vary(ready: WhatIf, question: Question, rec: Recommendation) -> None:
    """Sliders and the verdict; a moved slider runs this part of the page alone."""
    left, right = st.columns(2, gap="medium")
    options = [kept.option for kept in ready.again.kept]
    knobs = Knobs(key_of(question), question.scenario, options)
    with left, st.container(border=True):
        st.subheader("Different from the question", anchor=False)
        knobs.show()
        st.button("Back to the question", key="reset", on_click=knobs.reset, width="stretch")
    with right:
        _verdict(ready, knobs, rec)


def _ready(question: Question, rec: Recommendation) -> WhatIf:
    """The answer, ready to be asked; made once an answer."""
    from advisor.whatif.study import what_if

    known = st.session_state.get("what if")
    if known is None or known[0] != key_of(question):
        with st.spinner("Getting the answer ready to be varied"):
            ready = what_if(rec, question.scenario, folder=question.folder)
        known = st.session_state["what if"] = (key_of(question), ready)
    found: WhatIf = known[1]
    return found


def _verdict(ready: WhatIf, knobs: Knobs, rec: Recommendation) -> None:
    """The choice decided again: a sentence, a table, and the way to the answer in full."""
    try:
        verdict = ready.ask(knobs.changes)
    except AdvisorError as error:
        for sentence in state.sentences_of(error):
            st.error(show.plain(sentence))
        return
    st.subheader(show.plain(tables.headline(verdict, rec)), anchor="verdict")
    show.table(tables.verdict(verdict, rec))
    best = verdict.best
    if best is not None and best.checks:
        show.tiles(
            [
                (
                    ranking.limit_name(c),
                    ranking.limit_value(c, c.value),
                    f"asked {ranking.limit_value(c, c.limit)}",
                )
                for c in best.checks
            ]
        )
    st.caption(
        "Decided again among the recommended option and its nearest rivals, with their knobs kept and their "
        "replicas counted anew. Another kind of option might do better: ask in full."
    )
    if st.button("Ask this in full", key="in full", type="primary"):
        _in_full(verdict)


def _in_full(verdict: Verdict) -> None:
    state.set_scenario_text(scenario_to_yaml(verdict.scenario), "a what-if of the latest answer")
    asked = state.question()
    if asked is not None:
        asking.start(asked)
        st.switch_page(state.page_of("answer"))


def _more(question: Question, rec: Recommendation) -> None:
    """Where one way begins to pay more than another, and what turns the advice."""
    maps, tipping = st.tabs(["Break-even maps", "Tipping values"])
    with maps:
        _maps(question, rec)
    with tipping:
        said = show.sections_of(rec)
        show.sections(said, "turns", "sure")
        if "sure" not in said:
            st.caption("How far each uncertain term may be off before the choice turns: Answer, How sure.")


def _maps(question: Question, rec: Recommendation) -> None:
    from advisor.report.maps import maps

    key = key_of(question)

    def keep(answer: BreakEven) -> None:
        st.session_state["maps"] = (key, answer)

    if watch.show_progress(_MAPS, keep):
        return
    known = st.session_state.get("maps")
    if known is None or known[0] != key:
        st.markdown(
            "From which load does merging pay, how many adapters does one replica carry, up to which batch "
            "does speculation pay? Your question is a point on each map. This takes some ten seconds."
        )
        if st.button("Draw the maps", key="draw maps"):
            _draw(question, rec)
            st.rerun()
        return
    best = ranking.recommended(rec)
    batch = None if best is None or best.outcome is None else best.outcome.mean_batch
    for section in maps(known[1], batch):
        show.section(section)


def _draw(question: Question, rec: Recommendation) -> None:
    best = ranking.recommended(rec)
    device = None if best is None else best.device
    try:
        processes = jobs()
    except AdvisorError as error:
        watch.fail(_MAPS, error)
        return

    def compute(tell: Tell) -> BreakEven:
        from advisor import api

        return api.break_even(
            question.scenario, folder=question.folder, device=device, draws=0, jobs=processes, progress=tell
        )

    watch.begin(_MAPS, Work(compute))
