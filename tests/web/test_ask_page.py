"""The form: every widget reads and writes the scenario's text, and faults stand beside their field."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.web.driver import edited, opened, said
from tests.web.minimal import MINIMAL


def text_of(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(app.text_area[0].value)
    return found


def widget(widgets: Any, path: str) -> Any:
    """The widget of a field, in whatever edition of the form."""
    return next(one for one in widgets if str(one.key).startswith(f"{path}@"))


def test_a_number_is_written_into_the_yaml() -> None:
    app = opened()
    widget(app.number_input, "adapters.count").set_value(12).run()
    assert text_of(app)["adapters"]["count"] == 12


def test_a_rate_is_written_with_its_unit() -> None:
    app = edited(MINIMAL)
    widget(app.select_slider, "workload.arrivals.rate").set_value(8).run()
    assert text_of(app)["workload"]["arrivals"]["rate"] == "8 req/s"


def test_what_the_yaml_says_stands_in_the_form() -> None:
    app = edited(MINIMAL.replace("count: 2", "count: 77").replace("2 req/s", "7.7 req/s"))
    assert widget(app.number_input, "adapters.count").value == 77
    assert widget(app.select_slider, "workload.arrivals.rate").value == 7.7


@pytest.mark.parametrize(("value", "rule"), [(-3, "at least 0"), (2_000_000, "at most 100000")])
def test_a_fault_stands_once_and_the_scenario_cannot_be_asked(value: int, rule: str) -> None:
    app = opened()
    widget(app.number_input, "adapters.count").set_value(value).run()
    assert [rule in error.value for error in app.error] == [True]
    assert app.button(key="recommend").disabled
    widget(app.number_input, "adapters.count").set_value(4).run()
    assert not app.error
    assert not app.button(key="recommend").disabled


def test_a_fault_of_a_field_without_a_widget_is_said_too() -> None:
    app = edited(MINIMAL + "search: {requests: 5, ways: [sideways]}\n")
    assert any("sideways" in error.value for error in app.error)


def test_text_that_is_no_yaml_is_said_and_can_be_mended() -> None:
    app = edited("a: [1")
    assert any("not valid YAML" in error.value for error in app.error)
    app.text_area[0].set_value(MINIMAL).run()
    assert not app.error


def test_a_name_that_nobody_knows_is_said_before_it_is_asked() -> None:
    app = edited(MINIMAL.replace("Llama-3.1-8B", "Llama-99"))
    assert any("not in the catalog" in error.value for error in app.error)
    assert app.button(key="recommend").disabled


def test_a_limit_is_written_and_one_that_is_emptied_is_gone() -> None:
    app = edited(MINIMAL)
    widget(app.number_input, "ttft limit").set_value(250.0).run()
    assert text_of(app)["objective"]["slos"] == [{"metric": "ttft", "percentile": 99.0, "limit": "250ms"}]
    widget(app.number_input, "ttft limit").set_value(None).run()
    assert "slos" not in text_of(app).get("objective", {})


def test_a_preset_fills_in_its_limits() -> None:
    app = edited(MINIMAL)
    widget(app.selectbox, "preset").set_value("interactive").run()
    assert widget(app.number_input, "ttft limit").value == 500
    assert widget(app.number_input, "tpot limit").value == 30


def test_another_kind_of_traffic_keeps_the_load_and_is_sound() -> None:
    app = opened()
    assert text_of(app)["workload"]["kind"] == "fitted"
    widget(app.selectbox, "workload.kind").set_value("generator").run()
    assert not app.error
    assert text_of(app)["workload"]["arrivals"]["rate"] == "20 req/s"
    assert text_of(app)["adapters"]["popularity"]["kind"] == "zipf"
    for kind in ("gamma", "on-off", "diurnal", "poisson"):
        widget(app.selectbox, "workload.arrivals.kind").set_value(kind).run()
        assert not app.error, kind


def test_from_scratch_is_a_scenario_that_can_be_asked() -> None:
    app = opened()
    widget(app.selectbox, "start").set_value("from scratch").run()
    assert not app.error
    assert not app.button(key="recommend").disabled


def test_every_example_fits_the_form_and_can_be_asked() -> None:
    app = opened()
    names = [name for name in widget(app.selectbox, "start").options if name != "from scratch"]
    assert len(names) > 10
    for name in names:
        key = name.lower().replace(" ", "-")
        app = opened(example=key)
        assert not app.error, name
        assert not app.button(key="recommend").disabled, name
        before = text_of(app)
        widget(app.number_input, "seed").set_value(7).run()
        assert text_of(app) == {**before, "seed": 7}, "the form lost a field"


def test_an_own_price_replaces_the_catalogs() -> None:
    app = opened()
    widget(app.number_input, "price L40S").set_value(0.8).run()
    assert text_of(app)["prices"]["own"] == [{"device": "L40S", "price": "0.8 USD/h"}]
    widget(app.number_input, "price L40S").set_value(None).run()
    assert "own" not in text_of(app).get("prices", {})


def test_a_draft_keeps_what_the_yaml_says_about_it() -> None:
    app = opened(example="code-assistant-ngram")
    widget(app.multiselect, "speculation.drafts").set_value(["ngram", "eagle3"]).run()
    assert text_of(app)["speculation"]["drafts"] == [
        {"method": "ngram", "task": "code-edit"},
        {"method": "eagle3"},
    ]


def test_what_was_understood_is_said_back() -> None:
    assert "2 deployed" in said(edited(MINIMAL))
