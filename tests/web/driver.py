"""Drives the app in Streamlit's tester, with an API that gives the hand-built answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.faces.example import example

APP = Path(__file__).parents[2] / "app.py"
RUNS = 400


class FakeApi:
    """Stands for `advisor.api` where a test is about pages, not about answers; counts the calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.error: Exception | None = None

    def recommend_in_parts(
        self, scenario: Any, profiles: Any = None, *, folder: Path, jobs: int, progress: Any, sure: int
    ) -> Iterator[Any]:
        self.calls.append((scenario, folder, jobs, sure))
        progress(0.5, "halfway")
        if self.error is not None:
            raise self.error
        answer = example().model_copy(update={"scenario": scenario.name})
        ranking = answer.model_copy(update={"explanation": None, "knee": None, "slots": None, "turns": ()})
        yield ranking.model_copy(update={"confirmed": False})
        yield ranking
        yield answer


def opened(**query: str) -> Any:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def until(app: Any, there: Callable[[Any], bool]) -> Any:
    """Run the app again and again, as a browser does while work is under way, until something is there."""
    for _ in range(RUNS):
        assert not app.exception
        if there(app):
            return app
        app.run()
    raise AssertionError(f"it never came; the page says: {said(app)}")


def answered(app: Any) -> Any:
    """Press the button and look until there is the whole answer or a sentence."""
    app.button(key="recommend").click().run()
    return until(app, lambda a: a.error or (a.metric and "on their way" not in said(a)))


def edited(text: str) -> Any:
    """The app with a text put into its YAML editor."""
    app = opened()
    app.text_area[0].set_value(text).run()
    return app


def moved(app: Any, path: str) -> Any:
    """Go to another page of the same visit; the tester itself knows only pages that are files."""
    app._page_hash = calc_hash(path)
    app.run()
    assert not app.exception
    return app


def said(app: Any) -> str:
    parts = (*app.title, *app.header, *app.markdown, *app.caption, *app.subheader, *app.info, *app.warning)
    return "\n".join(e.value for e in parts)
