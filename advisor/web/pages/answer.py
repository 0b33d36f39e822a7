"""The page with the answer: what to serve, what it costs, how sure that is, and what to take away."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import streamlit as st

from advisor.recommendation import Recommendation
from advisor.web import asking, show, state
from advisor.web.answers import key_of
from advisor.web.parts import deploy
from advisor.web.question import Question

_DRAWS: Final = 40


def page() -> None:
    """The latest answer, or the way to one; the ranking already while its reasons are studied."""
    running = asking.under_way()
    found = state.answered() or asking.preview()
    if found is None:
        if not running:
            show.nothing_yet()
        return
    question, rec = found
    if running and not rec.confirmed:
        st.info(
            "A first look, sized on a short stretch. Trials on longer traffic and other draws are on their "
            "way; they may ask for more replicas."
        )
    elif running:
        st.caption("This is the ranking. The reasons and how much load it carries are on their way.")
    elif not state.is_current():
        st.info("The scenario was changed since. This answers the one before; ask again for the new one.")
    _head(question, rec)
    said = show.sections_of(rec)
    if running:
        show.sections(said, "ranking")
        return
    compare, paste, load, sure, asked = st.tabs(
        ["Compare", "Deploy", "Load and slots", "How sure", "As asked"]
    )
    with compare:
        show.sections(said, "ranking", "tokens", "refused")
    with paste:
        deploy.show_recipe(question, rec)
        settings, memory = st.columns(2, gap="medium")
        with settings:
            show.sections(said, "run")
        with memory:
            show.sections(said, "memory")
    with load:
        show.sections(said, "knee", "slots")
    with sure:
        _sure(question, rec)
        show.sections(said, "sure", "turns", "terms")
    with asked:
        show.sections(said, "workload", "limits", "next")


def _head(question: Question, rec: Recommendation) -> None:
    """The sentence, what to take away, and the figures that decide."""
    title, away = st.columns([5, 1], vertical_alignment="center")
    with title:
        show.title(rec)
    with away.popover("Download", icon=":material/download:", width="stretch"):
        _downloads(question, rec)
    show.figures(rec)
    st.markdown(show.plain(rec.summary))


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
    for label, name, mime, content in files:
        st.download_button(
            label, content, name, mime, key=f"{name}-{key}", on_click="ignore", width="stretch"
        )


def _sure(question: Question, rec: Recommendation) -> None:
    """Offer the draws where they were not asked for."""
    if rec.certainty is not None:
        return
    words, button = st.columns([3, 1], vertical_alignment="center")
    words.markdown(
        f"In how many of {_DRAWS} draws of all that is uncertain does this choice stand, and which input "
        "would turn it? That takes about a minute on two cores."
    )
    if button.button(f"Draw {_DRAWS} times", key="draw", width="stretch"):
        asking.start(replace(question, sure=_DRAWS))
        st.rerun()
