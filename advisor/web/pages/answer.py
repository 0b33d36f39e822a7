"""The page with the answer: what to serve, what it costs, how sure that is, and what to take away."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.recommendation import Recommendation
from advisor.web import asking, show, state
from advisor.web.answers import key_of
from advisor.web.question import Question

_TABS: Final = (
    ("Ranking", ("ranking", "refused")),
    ("Load and slots", ("knee", "slots")),
    ("How to run it", ("run", "memory", "workload")),
    ("How sure", ("turns", "sure", "tokens", "terms", "limits", "next")),
)


def page() -> None:
    """The latest answer, or the way to one."""
    if asking.under_way():
        return
    found = state.answered()
    if found is None:
        st.title("No answer yet")
        st.page_link(state.page_of("ask"), label="Ask a question first")
        return
    show.headline(found[1])
    _downloads(*found)
    said = show.sections_of(found[1])
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
