"""The answer's page: preview, tabs, recipe, downloads, how sure; the pages before there is an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from advisor import api
from tests.web.driver import FakeApi, answered, moved, opened, said, until
from tests.web.minimal import MINIMAL


@pytest.mark.parametrize("path", ["answer", "why", "whatif"])
def test_without_an_answer_a_page_says_where_to_ask(path: str) -> None:
    assert "No answer yet" in said(moved(opened(), path))


def test_a_first_look_says_that_it_is_one(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed = threading.Event()

    def slowly(*args: Any, **more: Any) -> Iterator[Any]:
        for part in FakeApi.recommend_in_parts(fake_api, *args, **more):
            yield part
            if not part.confirmed:
                confirmed.wait(60)

    monkeypatch.setattr(api, "recommend_in_parts", slowly)
    app = opened()
    app.button(key="recommend").click().run()
    until(app, lambda a: "A first look, sized on a short stretch" in said(a))
    assert app.metric  # the figures are there already
    confirmed.set()
    until(app, lambda a: a.metric and "on their way" not in said(a))
    assert "A first look" not in said(app)


def test_the_reasons_have_their_page(fake_api: FakeApi) -> None:
    app = moved(answered(opened()), "why")
    assert "Where each millisecond goes" in said(app)
    assert "adapter loading" in "".join(str(frame.value.to_dict()) for frame in app.dataframe)


def test_what_to_paste_is_there_with_every_file_of_the_recipe(fake_api: FakeApi) -> None:
    app = answered(opened())
    tabs = [tab.label for tab in app.tabs]
    assert {"serve-vllm.sh", "compose.yaml", "kubernetes.yaml", "alerts.yaml"} <= set(tabs)
    assert any("vllm" in code.value and "--enable-lora" in code.value for code in app.code)


def test_a_changed_scenario_is_said_beside_the_older_answer(fake_api: FakeApi) -> None:
    app = moved(answered(opened()), "ask")
    app.text_area[0].set_value(MINIMAL).run()
    assert "The scenario was changed since" in said(moved(app, "answer"))


def test_the_draws_are_asked_for_with_the_same_scenario(fake_api: FakeApi) -> None:
    app = answered(opened())
    app.button(key="draw").click().run()
    until(app, lambda _: len(fake_api.calls) == 2)
    assert [call[3] for call in fake_api.calls] == [0, 40]
    assert fake_api.calls[0][0] == fake_api.calls[1][0]


def test_a_reload_finds_the_answer_again(fake_api: FakeApi) -> None:
    answered(opened())
    app = moved(opened(), "answer")
    assert app.metric
    assert len(fake_api.calls) == 1


def test_two_visitors_have_their_own_scenario_and_answer(fake_api: FakeApi) -> None:
    first, second = opened(), opened()
    second.text_area[0].set_value(MINIMAL).run()
    answered(first)
    answered(second)
    names = [call[0].name for call in fake_api.calls]
    assert names == ["fine-tuning platform, 40 adapters", "small"]
    assert moved(first, "ask").text_area[0].value != MINIMAL
    assert moved(second, "ask").text_area[0].value == MINIMAL
