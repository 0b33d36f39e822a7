from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import api
from advisor.errors import InfeasibleError, InputError
from advisor.recommendation import Recommendation
from advisor.web import address, cores
from advisor.web.answers import Answers, key_of
from advisor.web.question import VARIABLE, read_question
from tests.faces.example import example

streamlit = pytest.importorskip("streamlit", reason="streamlit is not installed (extra 'app')")
AppTest = pytest.importorskip("streamlit.testing.v1").AppTest

APP = Path(__file__).parents[2] / "app.py"
MINIMAL = """\
schema_version: 1
name: small
model: Llama-3.1-8B
adapters: {count: 2, rank: 8}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 2 req/s}
  prompt_tokens: {kind: fixed, tokens: 100}
  output_tokens: {kind: fixed, tokens: 10}
  duration: 60s
"""


class Api:
    """Stands for `advisor.api`: gives the hand-built answer and counts the calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.error: Exception | None = None

    def recommend(
        self, scenario: Any, profiles: Any = None, *, folder: Path, jobs: int, progress: Any = None
    ) -> Any:
        self.calls.append((scenario, folder, jobs))
        progress(0.5, "halfway")
        if self.error is not None:
            raise self.error
        return example().model_copy(update={"scenario": scenario.name})


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch) -> Api:
    streamlit.cache_resource.clear()
    fake = Api()
    monkeypatch.setattr(api, "recommend", fake.recommend)
    return fake


def opened() -> Any:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    return app


def said(app: Any) -> str:
    return "\n".join(e.value for e in (*app.markdown, *app.caption, *app.subheader))


def test_the_example_is_answered_with_ranking_and_reasons(fake_api: Api) -> None:
    app = opened()
    app.button(key="recommend").click().run()
    assert not app.exception
    assert len(fake_api.calls) == 1
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["cost, USD an hour"] == "2.18"
    assert metrics["TTFT p99"] == "185 ms"
    ranking = next(
        frame.value
        for frame in app.dataframe
        if "way to serve" in frame.value.columns and "#" in frame.value.columns
    )
    assert ranking.iloc[0]["TTFT p99 (ms)"] == pytest.approx(185, abs=0.5)
    assert ranking.iloc[0][""] == "→"
    assert "Serve all 40 adapters unmerged" in said(app)
    assert "adapter loading" in "".join(str(frame.value.to_dict()) for frame in app.dataframe)


def test_the_same_scenario_is_computed_once(fake_api: Api) -> None:
    app = opened()
    app.button(key="recommend").click().run()
    app.button(key="recommend").click().run()
    assert len(fake_api.calls) == 1
    assert app.metric


def test_an_edited_scenario_goes_to_the_api_and_into_the_address(fake_api: Api) -> None:
    app = opened()
    app.text_area[0].set_value(MINIMAL).run()
    app.button(key="recommend").click().run()
    assert fake_api.calls[0][0].name == "small"
    assert address.unpacked(app.query_params["s"]) == MINIMAL


def test_a_scenario_in_the_address_is_shown(fake_api: Api) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["s"] = address.packed(MINIMAL)
    app.run()
    assert app.text_area[0].value == MINIMAL


def test_a_broken_address_is_one_sentence(fake_api: Api) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["s"] = "!!!"
    app.run()
    assert not app.exception
    assert "holds no scenario" in app.error[0].value


def test_another_example_replaces_the_text(fake_api: Api) -> None:
    app = opened()
    other = next(name for name in app.selectbox(key="example").options if name != "platform-40-adapters")
    app.selectbox(key="example").set_value(other).run()
    app.button(key="recommend").click().run()
    assert not app.exception
    assert app.query_params["example"] == other


def test_a_fault_is_said_with_its_line_and_nothing_is_computed(fake_api: Api) -> None:
    app = opened()
    app.text_area[0].set_value(MINIMAL.replace("rank: 8", "rnk: 8")).run()
    app.button(key="recommend").click().run()
    assert not app.exception
    assert not fake_api.calls
    assert any("line 4" in error.value and "rnk" in error.value for error in app.error)
    assert not app.metric


def test_an_error_of_the_api_is_its_sentence(fake_api: Api) -> None:
    fake_api.error = InfeasibleError("No device of the scenario has a profile.")
    app = opened()
    app.button(key="recommend").click().run()
    assert not app.exception
    assert "No device of the scenario has a profile." in app.error[0].value


def test_markup_in_a_scenario_is_shown_as_text(fake_api: Api) -> None:
    app = opened()
    app.text_area[0].set_value(MINIMAL.replace("rank: 8", '"<b>*x*</b>": 8')).run()
    app.button(key="recommend").click().run()
    assert "<b>" not in "".join(error.value for error in app.error)


def test_the_page_of_what_is_known_shows_profiles_and_prices() -> None:
    app = AppTest.from_string("from advisor.web import known\nknown.page()", default_timeout=60).run()
    assert not app.exception
    profiles, prices = (frame.value for frame in app.dataframe)
    assert "H100-80-SXM" in set(profiles["device"])
    assert prices["$/h"].min() > 0
    assert prices["date"].notna().all()


class TestPathsOfAScenarioFromTheBrowser:
    trace = MINIMAL.split("workload:")[0] + "workload: {kind: trace, path: %s}\n"

    def refused(self, text: str, folder: Path | None) -> str:
        with pytest.raises(InputError) as caught:
            read_question(text, folder)
        return str(caught.value)

    def test_names_of_the_catalog_are_fine_without_a_folder(self) -> None:
        assert read_question(MINIMAL, None).scenario.model == "Llama-3.1-8B"

    @pytest.mark.parametrize(
        "path", ["requests.csv", "/etc/passwd", "../../x.csv", "~/x.csv", "~nobody-here/x"]
    )
    def test_no_trace_without_a_folder(self, path: str) -> None:
        sentence = self.refused(self.trace % path, None)
        assert "workload.path" in sentence
        assert "--workspace" in sentence

    @pytest.mark.parametrize(
        "model", ["/etc/config.json", "../secret", "config.json", "~/m", "..", "a/../../../b"]
    )
    def test_no_model_file_without_a_folder(self, model: str) -> None:
        assert "model is" in self.refused(MINIMAL.replace("Llama-3.1-8B", model), None)

    def test_no_adapter_folder_without_a_folder(self) -> None:
        text = MINIMAL.replace("{count: 2, rank: 8}", "{paths: [/srv/a, b]}")
        sentence = self.refused(text, None)
        assert "adapters.paths[0]" in sentence
        assert "adapters.paths[1]" in sentence

    def test_no_fitted_workload_file_without_a_folder(self) -> None:
        text = MINIMAL.split("workload:")[0] + "workload: {kind: fitted, name: ../../x, tenants: /y.json}\n"
        sentence = self.refused(text, None)
        assert "workload.name" in sentence
        assert "workload.tenants" in sentence

    def test_inside_the_folder_is_allowed_and_outside_is_not(self, tmp_path: Path) -> None:
        inside = tmp_path / "open"
        inside.mkdir()
        assert read_question(self.trace % "a.csv", inside).folder == inside
        assert "inside the folder" in self.refused(self.trace % "../a.csv", inside)

    def test_a_link_does_not_lead_out_of_the_folder(self, tmp_path: Path) -> None:
        inside = tmp_path / "open"
        inside.mkdir()
        (tmp_path / "secret.csv").write_text("x")
        (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
        assert "inside the folder" in self.refused(self.trace % "link.csv", inside)

    def test_the_operator_opens_a_folder_by_a_variable(
        self, fake_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        app = opened()
        app.text_area[0].set_value(self.trace % "a.csv").run()
        app.button(key="recommend").click().run()
        assert fake_api.calls[0][1] == tmp_path.resolve()


class TestJobs:
    def asked(self, fake_api: Api) -> Any:
        app = opened()
        app.button(key="recommend").click().run()
        return app

    @pytest.mark.parametrize(("given", "jobs"), [(None, 1), ("", 1), ("3", 3), (" 12 ", 12)])
    def test_one_process_unless_the_operator_says_more(
        self, fake_api: Api, monkeypatch: pytest.MonkeyPatch, given: str | None, jobs: int
    ) -> None:
        monkeypatch.delenv(cores.VARIABLE, raising=False)
        if given is not None:
            monkeypatch.setenv(cores.VARIABLE, given)
        self.asked(fake_api)
        assert fake_api.calls[0][2] == jobs

    @pytest.mark.parametrize("given", ["0", "-1", "many", "2.5", "257", "9" * 30, "²"])
    def test_a_bad_number_is_one_sentence(
        self, fake_api: Api, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        monkeypatch.setenv(cores.VARIABLE, given)
        app = self.asked(fake_api)
        assert not app.exception
        assert not fake_api.calls
        assert "from 1 to 256" in app.error[0].value


class TestAddress:
    def test_round_trip(self) -> None:
        assert address.unpacked(address.packed(MINIMAL) or "") == MINIMAL

    def test_a_long_scenario_is_not_put_into_an_address(self) -> None:
        noise = "".join(f"{i * 7919 % 10007:x}" for i in range(20_000))
        assert address.packed(noise) is None

    def test_a_bomb_is_refused(self) -> None:
        import base64
        import zlib

        bomb = base64.urlsafe_b64encode(zlib.compress(b"a" * (address.MAX_TEXT_BYTES * 20))).decode()
        with pytest.raises(InputError, match="more than"):
            address.unpacked(bomb)


class TestAnswers:
    def test_the_least_recently_used_is_dropped(self) -> None:
        store = Answers(kept=2)
        made: list[str] = []

        def ask(name: str) -> None:
            def compute() -> Recommendation:
                made.append(name)
                return example()

            store.get(read_question(MINIMAL.replace("small", name), None), compute)

        for name in ("a", "b", "a", "c", "a", "b"):
            ask(name)
        assert made == ["a", "b", "c", "b"]

    def test_comments_do_not_make_another_question(self) -> None:
        assert key_of(read_question(MINIMAL, None)) == key_of(read_question("# hello\n" + MINIMAL, None))

    def test_a_failure_is_not_kept(self) -> None:
        store, question = Answers(), read_question(MINIMAL, None)

        def fails() -> Any:
            raise InfeasibleError("no")

        with pytest.raises(InfeasibleError):
            store.get(question, fails)
        assert store.get(question, example).model == "Llama-3.1-8B"
