"""A question that nothing meets: every page says so, and none falls over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor.web.question import Opened, read_question
from tests.web.driver import moved, opened, said
from tests.whatif.test_again import SCENARIO

TEXT = SCENARIO.replace("limit: 500ms", "limit: 1ms")


@pytest.fixture(scope="module")
def answer() -> Any:
    question = read_question(TEXT, Opened(Path("/nowhere"), False))
    rec = advisor.recommend(question.scenario, jobs=1)
    assert rec.recommended is None
    return question, rec


@pytest.mark.parametrize(
    ("path", "words"),
    [("answer", "Nothing meets the objective"), ("why", "Where each"), ("whatif", "None of these meets")],
)
def test_a_page_says_that_nothing_meets_the_objective(answer: Any, path: str, words: str) -> None:
    app = opened()
    app.session_state["answered"] = answer
    app = moved(app, path)
    assert words in said(app)
    if path == "answer":
        assert "there is nothing to deploy" in said(app)
        assert any("idle replica" in element.value for element in app.markdown), "the reason is missing"
