"""Drives the app in Streamlit's tester, with an API that gives the hand-built answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.faces.example import example

APP = Path(__file__).parents[2] / "app.py"
RUNS = 400


class FakeApi:
    """Stands for `advisor.api` where a test is about pages, not about answers; counts the calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.error: Exception | None = None

    def recommend(
        self,
        scenario: Any,
        profiles: Any = None,
        *,
        folder: Path,
        jobs: int,
        progress: Any = None,
        **more: Any,
    ) -> Any:
        self.calls.append((scenario, folder, jobs))
        progress(0.5, "halfway")
        if self.error is not None:
            raise self.error
        return example().model_copy(update={"scenario": scenario.name})


def opened(**query: str) -> Any:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def answered(app: Any) -> Any:
    """Press the button and look until there is an answer or a sentence."""
    app.button(key="recommend").click().run()
    for _ in range(RUNS):
        assert not app.exception
        if app.metric or app.error:
            return app
        app.run()
    raise AssertionError("no answer came")


def said(app: Any) -> str:
    return "\n".join(e.value for e in (*app.title, *app.header, *app.markdown, *app.caption, *app.subheader))
