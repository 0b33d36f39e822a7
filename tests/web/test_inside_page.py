"""Why and Inside with a real answer: distributions, a replica's states, a stretch to zoom into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor.recommendation import Recommendation
from advisor.web.question import Opened, Question, read_question
from tests.web.driver import FakeApi, moved, opened, said, until
from tests.whatif.test_again import SCENARIO


@pytest.fixture(scope="module")
def answer() -> tuple[Question, Recommendation]:
    question = read_question(SCENARIO, Opened(Path("/nowhere"), False))
    return question, advisor.recommend(question.scenario, jobs=1)


@pytest.fixture
def app(answer: tuple[Question, Recommendation]) -> Any:
    app = opened()
    app.session_state["answered"] = answer
    return app


def charts(app: Any) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def test_why_says_the_causes_and_shows_the_distributions_beside_the_base(app: Any) -> None:
    moved(app, "why")
    until(app, lambda a: "How latency is distributed" in said(a))
    assert "Against the plain base model on the same replicas" in said(app)
    assert "and the same requests to the plain base model" in said(app)
    titles = [json.dumps(spec) for spec in charts(app)]
    assert any("TTFT (ms)" in spec and "requests at or below" in spec for spec in titles)
    assert any("TPOT (ms)" in spec and "requests at or below" in spec for spec in titles)


def test_inside_shows_the_recommended_replica_and_zooms(app: Any) -> None:
    moved(app, "inside")
    until(app, lambda a: "Replica 1 of" in said(a))
    assert "Requests that run in a step" in said(app)
    before = next(one for one in app.caption if "under way" in one.value).value
    app.slider(key="inside stretch").set_value((10.0, 12.0)).run()
    assert not app.exception
    assert "10 s to 12 s" in said(app)
    after = next(one for one in app.caption if "under way" in one.value).value
    assert after != before


def test_a_merged_option_has_pools_to_choose_from_and_no_slots(
    app: Any, answer: tuple[Question, Recommendation]
) -> None:
    merged = next(o for o in answer[1].options if o.way == "merged" and o.pools)
    moved(app, "inside")
    app.selectbox(key="inside option").set_value(merged.key).run()
    until(app, lambda a: "Replica 1 of" in said(a))
    assert "slots that hold one" not in said(app)
    pools = app.selectbox[1]
    pools.set_value(merged.pools[0].name).run()
    until(app, lambda a: "Replica 1 of" in said(a))


def test_a_stretch_stays_while_the_page_waits_for_a_simulation(
    app: Any, answer: tuple[Question, Recommendation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of the page that shows no slider makes Streamlit forget what it was set to."""
    moved(app, "inside")
    until(app, lambda a: "Replica 1 of" in said(a))
    app.slider(key="inside stretch").set_value((10.0, 12.0)).run()
    with monkeypatch.context() as waiting:
        waiting.setattr("advisor.web.pages.inside.simulated", lambda *_: None)
        app.run()
    app.run()
    assert not app.exception
    assert tuple(app.slider(key="inside stretch").value) == (10.0, 12.0)


@pytest.mark.parametrize("path", ["why", "inside"])
def test_without_an_answer_the_page_says_where_to_ask(path: str, fake_api: FakeApi) -> None:
    assert "No answer yet" in said(moved(opened(), path))
