"""The page that asks and answers: a scenario, one call of the API, the ranking and the reasons, downloads."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.errors import AdvisorError
from advisor.recommendation import Recommendation
from advisor.web import ask, show
from advisor.web.answers import Answers, key_of
from advisor.web.cores import jobs
from advisor.web.question import Question

_TABS: Final = (
    ("Ranking", ("ranking", "refused")),
    ("Why", ("why", "causes")),
    ("Load and slots", ("knee", "slots")),
    ("How to run it", ("run", "memory", "workload")),
    ("How sure", ("turns", "sure", "tokens", "terms", "limits", "next")),
)


@st.cache_resource
def _answers() -> Answers:
    return Answers()


def page() -> None:
    """Ask above, answer below."""
    st.title("How should I serve my LoRA adapters?")
    text = ask.form()
    if st.button("Recommend", type="primary", key="recommend"):
        st.session_state.pop("answered", None)
        ask.share(text)
        question = ask.read(text)
        if question is not None:
            _run(question)
    if "answered" in st.session_state:
        _show(*st.session_state["answered"])


def _run(question: Question) -> None:
    from advisor import api

    bar = st.progress(0.0, "starting")

    def tell(share: float, what: str) -> None:
        bar.progress(min(1.0, share), show.plain(what))

    def compute() -> Recommendation:
        return api.recommend(
            question.scenario,
            folder=question.folder,
            jobs=jobs(),
            progress=tell,
        )

    try:
        st.session_state["answered"] = (question, _answers().get(question, compute))
    except AdvisorError as error:
        st.error(show.plain(str(error)))
    finally:
        bar.empty()


def _show(question: Question, rec: Recommendation) -> None:
    from advisor.report.sections import sections

    show.headline(rec)
    _downloads(question, rec)
    said = {one.key: one for one in sections(rec)}
    for tab, (_, keys) in zip(st.tabs([name for name, _ in _TABS]), _TABS, strict=True):
        with tab:
            for key in keys:
                if key in said:
                    show.section(said[key])


def _downloads(question: Question, rec: Recommendation) -> None:
    from advisor.report.html import html
    from advisor.spec.scenario import scenario_to_yaml
    from advisor.tables.ranking import ranking

    yaml, key = scenario_to_yaml(question.scenario), key_of(question)[:8]
    files = (
        ("Report (HTML)", "answer.html", "text/html", lambda: html(rec, scenario_yaml=yaml)),
        ("Answer (JSON)", "answer.json", "application/json", lambda: rec.model_dump_json(indent=1)),
        ("Ranking (CSV)", "ranking.csv", "text/csv", lambda: ranking(rec).csv()),
        ("Scenario (YAML)", "scenario.yaml", "application/yaml", lambda: yaml),
    )
    for place, (label, name, mime, content) in zip(st.columns(len(files)), files, strict=True):
        place.download_button(
            label, content, name, mime, key=f"{name}-{key}", on_click="ignore", width="stretch"
        )
