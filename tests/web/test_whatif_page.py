"""The what-if page with a real answer: sliders, the verdict, the way to the answer in full, the maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import advisor
from advisor.recommendation import Recommendation
from advisor.web.question import Opened, Question, read_question
from tests.web.driver import moved, opened, said, until
from tests.whatif.test_again import SCENARIO


@pytest.fixture(scope="module")
def answer() -> tuple[Question, Recommendation]:
    question = read_question(SCENARIO, Opened(Path("/nowhere"), False))
    return question, advisor.recommend(question.scenario, jobs=1)


@pytest.fixture
def app(answer: tuple[Question, Recommendation]) -> Any:
    app = opened()
    app.text_area[0].set_value(SCENARIO).run()
    app.session_state["answered"] = answer
    return moved(app, "whatif")


def slider(app: Any, name: str) -> Any:
    return next(one for one in app.select_slider if str(one.key).startswith(f"what if {name}@"))


def test_at_first_the_choice_stands(app: Any) -> None:
    assert "The choice stands\\: multi-LoRA on 1× L40S" in said(app)


def test_a_moved_slider_moves_the_verdict_and_back(app: Any) -> None:
    slider(app, "load").set_value(10.0).run()
    assert not app.exception
    assert "The choice stands" not in said(app)
    app.button(key="reset").click().run()
    assert "The choice stands" in said(app)
    assert slider(app, "load").value == 1.0


def test_a_slider_stays_where_it_was_while_the_visitor_is_elsewhere(app: Any) -> None:
    slider(app, "load").set_value(2.0).run()
    moved(app, "answer")
    assert slider(moved(app, "whatif"), "load").value == 2.0


def test_a_change_that_the_scenario_has_no_place_for_is_its_sentence(answer: Any) -> None:
    text = SCENARIO.replace("rank: 16}", "rank: 16, popularity: {kind: shares, shares: [3, 1, 1, 1, 1, 1]}}")
    question = read_question(text, Opened(Path("/nowhere"), False))
    app = opened()
    app.session_state["answered"] = (question, answer[1])
    app = moved(app, "whatif")
    slider(app, "adapters").set_value(10).run()
    assert "share for each of 6" in app.error[0].value


def test_in_full_asks_the_changed_scenario(app: Any, fake_api: Any) -> None:
    slider(app, "load").set_value(2.0).run()
    app.button(key="in full").click().run()
    until(app, lambda _: len(fake_api.calls) == 1)
    assert fake_api.calls[0][0].workload.arrivals.rate == 16.0
    text = moved(app, "ask").text_area[0].value
    assert yaml.safe_load(text)["workload"]["arrivals"]["rate"] == "16 req/s"


def test_the_maps_are_drawn_on_request(app: Any) -> None:
    app.button(key="draw maps").click().run()
    until(app, lambda a: "How many adapters on one replica" in said(a))
    assert "Merge, or one pool?" in said(app)
