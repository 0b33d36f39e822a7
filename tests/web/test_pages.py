"""Every page in Streamlit's tester: ask, answer, why, what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InfeasibleError, InputError
from advisor.search.parallel import default_jobs
from advisor.web import address, cores
from advisor.web.question import VARIABLE
from tests.web.driver import FakeApi, answered, edited, moved, opened, said
from tests.web.minimal import MINIMAL


def test_the_example_is_answered_with_ranking_and_reasons(fake_api: FakeApi) -> None:
    app = answered(opened())
    assert len(fake_api.calls) == 1
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["cost, USD an hour"] == "2.18"
    assert metrics["TTFT p99"] == "185 ms"
    ranking = next(frame.value for frame in app.dataframe if "way to serve" in frame.value.columns)
    assert ranking.iloc[0]["TTFT p99 (ms)"] == pytest.approx(185, abs=0.5)
    assert ranking.iloc[0][""] == "→"
    assert "Serve all 40 adapters unmerged" in said(app)


def test_the_same_scenario_is_computed_once_for_all_visitors(fake_api: FakeApi) -> None:
    answered(opened())
    answered(opened())
    assert len(fake_api.calls) == 1


def test_an_edited_scenario_goes_to_the_api_and_into_the_address(fake_api: FakeApi) -> None:
    app = answered(edited(MINIMAL))
    assert fake_api.calls[0][0].name == "small"
    assert address.unpacked(app.query_params["s"]) == MINIMAL


def test_a_scenario_in_the_address_is_shown(fake_api: FakeApi) -> None:
    code = address.packed(MINIMAL)
    assert code is not None
    assert opened(s=code).text_area[0].value == MINIMAL


def test_a_broken_address_is_one_sentence(fake_api: FakeApi) -> None:
    assert "holds no scenario" in opened(s="!!!").error[0].value


def test_an_error_of_the_api_is_its_sentence(fake_api: FakeApi) -> None:
    fake_api.error = InfeasibleError("No device of the scenario has a profile.")
    assert "No device of the scenario has a profile." in answered(opened()).error[0].value


def test_an_unknown_field_is_said_and_cannot_be_asked(fake_api: FakeApi) -> None:
    app = edited(MINIMAL.replace("rank: 8", "rnk: 8"))
    assert not app.exception
    assert any("no such field" in error.value and "rnk" in error.value for error in app.error)
    assert app.button(key="recommend").disabled
    assert not fake_api.calls


def test_markup_in_a_scenario_is_shown_as_text(fake_api: FakeApi) -> None:
    app = edited(MINIMAL.replace("rank: 8", '"<b>*x*</b>": 8'))
    assert app.error
    assert "<b>" not in "".join(error.value for error in app.error)


def test_the_operator_opens_a_folder_by_a_variable(
    fake_api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "a.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,10,10\n1,10,10\n")
    answered(edited(MINIMAL.split("workload:")[0] + "workload: {kind: trace, path: a.csv}\n"))
    assert fake_api.calls[0][1] == tmp_path.resolve()


def test_the_page_of_what_is_known_shows_profiles_and_prices() -> None:
    app = moved(opened(), "known")
    profiles, predicted, prices = (frame.value for frame in app.dataframe)
    assert "H100-80-SXM" in set(profiles["device"])
    assert set(predicted["method"]) == {"datasheet"}
    assert "datasheet" not in set(profiles["method"])
    assert "Predicted from the datasheet" in said(app)
    assert prices["$/h"].min() > 0
    assert prices["date"].notna().all()


@pytest.mark.parametrize(("given", "jobs"), [("", default_jobs()), ("3", 3), (" 12 ", 12)])
def test_one_process_a_core_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str, jobs: int
) -> None:
    monkeypatch.setenv(cores.VARIABLE, given)
    assert cores.jobs() == jobs


@pytest.mark.parametrize("given", ["0", "-1", "many", "2.5", "257", "9" * 30, "²"])
def test_no_number_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(cores.VARIABLE, given)
    with pytest.raises(InputError, match="from 1 to 256"):
        cores.jobs()


def test_a_bad_number_of_processes_is_one_sentence_on_the_page(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cores.VARIABLE, "many")
    app = answered(opened())
    assert not fake_api.calls
    assert "from 1 to 256" in app.error[0].value
