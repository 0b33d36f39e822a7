from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor import api
from advisor.cli import terminal
from advisor.cli.failures import run
from advisor.cli.reference import reference
from advisor.cli.root import COMMANDS, root
from advisor.errors import InfeasibleError, InputError, MeasurementError
from advisor.recommendation import Recommendation
from advisor.text import Style
from tests.faces.example import example, explanation, options

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data" / "scenarios" / "platform-40-adapters.yaml"
GOLDEN = Path(__file__).parent / "recommend_keys.json"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*args: str) -> tuple[int, str, str]:
        code = run(root, "advisor", args)
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The API replaced by the hand-built answer; what it was called with."""
    called: dict[str, Any] = {"answer": example()}

    def recommend(scenario: Any, profiles: Any = None, **more: Any) -> Recommendation:
        called.update(scenario=scenario, profiles=profiles, **more)
        more["progress"](0.5, "sizing")
        if isinstance(called["answer"], BaseException):
            raise called["answer"]
        return called["answer"]

    def simulate(scenario: Any, choice: Any, profiles: Any = None, **more: Any) -> Any:
        import pyarrow as pa

        called.update(scenario=scenario, choice=choice)
        table = pa.table({"arrival_s": [0.0, 1.5], "ttft_s": [0.1, 0.2]})
        return type("Simulation", (), {"option": options()[0], "requests_table": lambda _: table})()

    def explain(scenario: Any, choice: Any, profiles: Any = None, **more: Any) -> Any:
        called.update(scenario=scenario, choice=choice)
        return explanation()

    monkeypatch.setattr(api, "recommend", recommend)
    monkeypatch.setattr(api, "simulate", simulate)
    monkeypatch.setattr(api, "explain", explain)
    return called


class TestRecommend:
    def test_prints_the_ranking_the_paragraph_and_the_reasons(self, cli: Run, seen: dict[str, Any]) -> None:
        code, out, err = cli("recommend", str(SHIPPED))
        assert code == 0
        assert err == ""
        for words in (
            "2× L40S-48",
            "Serve all 40 adapters",
            "LoRA in decode",
            "max_loras",
            "What would turn",
            "estimated",
        ):
            assert words in out

    def test_json_is_one_object_that_reads_back(self, cli: Run, seen: dict[str, Any]) -> None:
        code, out, err = cli("recommend", str(SHIPPED), "--json")
        assert (code, err) == (0, "")
        assert Recommendation.model_validate_json(out) == example()

    def test_json_has_the_documented_keys(self, cli: Run, seen: dict[str, Any]) -> None:
        """Regenerate: python -m tests.faces.golden"""
        from tests.faces.golden import keys_of

        _, out, _ = cli("recommend", str(SHIPPED), "--json")
        assert keys_of(json.loads(out)) == json.loads(GOLDEN.read_text())

    def test_nothing_meets_the_objective_is_exit_code_3_with_the_answer(
        self, cli: Run, seen: dict[str, Any]
    ) -> None:
        seen["answer"] = unmet()
        code, out, _ = cli("recommend", str(SHIPPED))
        assert code == 3
        assert "Nothing meets the objective" in out
        assert "Nearest: 3 x L4-24" in out

    def test_seed_replaces_the_scenarios(self, cli: Run, seen: dict[str, Any]) -> None:
        for seed in (99, 0):
            cli("recommend", str(SHIPPED), "--seed", str(seed))
            assert seen["scenario"].seed == seed

    @pytest.mark.parametrize(("args", "jobs"), [((), None), (("--jobs", "3"), 3)])
    def test_jobs_are_the_processes_to_use(
        self, cli: Run, seen: dict[str, Any], tmp_path: Path, args: tuple[str, ...], jobs: int | None
    ) -> None:
        for command in (("recommend", str(SHIPPED)), ("demo", "--out", str(tmp_path))):
            seen["jobs"] = "not said"
            assert cli(*command, *args)[0] == 0
            assert seen["jobs"] == jobs

    def test_relative_paths_start_at_the_scenario(self, cli: Run, seen: dict[str, Any]) -> None:
        cli("recommend", str(SHIPPED))
        assert seen["folder"] == SHIPPED.parent

    def test_top_cuts_the_ranking_and_says_so(self, cli: Run, seen: dict[str, Any]) -> None:
        _, out, _ = cli("recommend", str(SHIPPED), "--top", "2")
        assert "2× A100-80-SXM" in out
        assert "6 more: --top 0 shows all" in out

    def test_reports_are_written_and_named_on_stderr(
        self, cli: Run, seen: dict[str, Any], tmp_path: Path
    ) -> None:
        page, text = tmp_path / "a.html", tmp_path / "a.md"
        code, _, err = cli("recommend", str(SHIPPED), "--report", str(page), "--report", str(text))
        assert code == 0
        assert page.read_text().startswith("<!doctype html>")
        assert text.read_text().startswith("# ")
        assert str(page) in err

    def test_an_unknown_report_ending_is_refused_before_the_work(
        self, cli: Run, seen: dict[str, Any]
    ) -> None:
        code, out, err = cli("recommend", str(SHIPPED), "--report", "a.pdf")
        assert (code, out) == (2, "")
        assert "allowed: .html or .md" in err
        assert "scenario" not in seen

    @pytest.mark.parametrize(
        ("raised", "code"),
        [(InfeasibleError("No."), 3), (MeasurementError("Late."), 4), (KeyboardInterrupt(), 130)],
    )
    def test_errors_have_their_exit_code_and_no_traceback(
        self, cli: Run, seen: dict[str, Any], raised: BaseException, code: int
    ) -> None:
        seen["answer"] = raised
        got, out, err = cli("recommend", str(SHIPPED))
        assert (got, out) == (code, "")
        assert "Traceback" not in err
        assert err.strip().count("\n") <= 1

    def test_a_bug_is_shown_in_full(self, cli: Run, seen: dict[str, Any]) -> None:
        seen["answer"] = ZeroDivisionError("oops")
        code, _, err = cli("recommend", str(SHIPPED))
        assert code == 1
        assert "Traceback" in err
        assert "this is a bug of ours" in err

    def test_every_fault_of_a_scenario_is_one_line(self, cli: Run, tmp_path: Path) -> None:
        bad = tmp_path / "bad.yaml"
        bad.write_text(
            "schema_version: 1\nmodel: ''\nadapters: {count: -1, rank: 0}\nworkload: {kind: nonsense}\n"
        )
        code, out, err = cli("recommend", str(bad))
        assert (code, out) == (2, "")
        lines = err.strip().splitlines()
        assert len(lines) >= 3
        assert all(line.startswith("advisor: ") for line in lines)

    @pytest.mark.parametrize(
        "args", [["nowhere.yaml"], ["-", "--top", "-1"], [], ["x", "--nonsense"], ["x", "--jobs", "0"]]
    )
    def test_bad_arguments_are_exit_code_2(self, cli: Run, args: list[str]) -> None:
        code, out, err = cli("recommend", *args)
        assert (code, out) == (2, "")
        assert err

    def test_control_characters_of_a_file_do_not_reach_the_terminal(
        self, cli: Run, seen: dict[str, Any]
    ) -> None:
        seen["answer"] = InputError("adapter '\x1b[31mred\r' is not there.")
        _, _, err = cli("recommend", str(SHIPPED))
        assert err == "advisor: adapter '\\x1b[31mred\\r' is not there.\n"


def unmet() -> Recommendation:
    return example().model_copy(
        update={
            "recommended": None,
            "options": tuple(o for o in options() if not o.feasible),
            "summary": "Nothing meets the objective. Nearest: 3 x L4-24, with p99 TTFT 412 ms for 200 ms.",
            "knee": None,
            "slots": None,
            "explanation": None,
            "terms": (),
            "turns": (),
        }
    )


class Watched(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


class TestTerminal:
    @pytest.fixture(autouse=True)
    def plain_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NO_COLOR", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")

    @pytest.mark.parametrize(
        ("silent", "watched", "drawn"), [(False, True, True), (True, True, False), (False, False, False)]
    )
    def test_progress_only_where_somebody_watches(
        self, monkeypatch: pytest.MonkeyPatch, silent: bool, watched: bool, drawn: bool
    ) -> None:
        stream = Watched() if watched else io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        with terminal.Progress(silent=silent) as progress:
            progress(0.5, "sizing")
            progress(0.6, "too soon to be drawn")
        assert ("50 %  sizing" in stream.getvalue()) == drawn
        assert "too soon" not in stream.getvalue()
        assert stream.getvalue().endswith("\r\x1b[K" if drawn else "")

    @pytest.mark.parametrize(
        ("variables", "no_color", "colour"),
        [
            ({}, False, True),
            ({"NO_COLOR": "1"}, False, False),
            ({"TERM": "dumb"}, False, False),
            ({}, True, False),
        ],
    )
    def test_colour(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], no_color: bool, colour: bool
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdout", Watched())
        assert terminal.style(no_color).colour == colour

    def test_a_pipe_has_no_colour_and_every_column(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout", io.StringIO())
        assert terminal.style() == Style(width=160, colour=False)

    def test_the_width_is_the_terminals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "90")
        assert terminal.style().width == 90


class TestOthers:
    deployment = ("--way", "multi-lora", "--device", "L40S-48", "--replicas", "2", "--max-loras", "16")

    def test_simulate_prints_latencies_and_writes_requests(
        self, cli: Run, seen: dict[str, Any], tmp_path: Path
    ) -> None:
        import pyarrow.parquet as pq

        out_path = tmp_path / "out.parquet"
        code, out, err = cli("simulate", str(SHIPPED), *self.deployment, "--requests", str(out_path))
        assert code == 0
        assert "p99" in out
        assert pq.read_table(out_path).num_rows == 2
        assert "wrote 2 requests" in err
        assert (seen["choice"].replicas, seen["choice"].max_loras) == (2, 16)

    def test_simulate_json(self, cli: Run, seen: dict[str, Any]) -> None:
        _, out, _ = cli("simulate", str(SHIPPED), *self.deployment, "--json")
        assert json.loads(out)["option"]["key"] == "multi-lora/L40S-48/tp1/plain"
        assert json.loads(out)["schema_version"] == 1

    def test_simulate_refuses_a_choice_out_of_range(self, cli: Run, seen: dict[str, Any]) -> None:
        code, _, err = cli("simulate", str(SHIPPED), "--way", "base", "--device", "X", "--replicas", "0")
        assert code == 2
        assert "replicas is 0" in err

    def test_explain_adds_up_on_screen(self, cli: Run, seen: dict[str, Any]) -> None:
        code, out, _ = cli("explain", str(SHIPPED), *self.deployment)
        assert code == 0
        assert "= this deployment" in out
        _, out, _ = cli("explain", str(SHIPPED), *self.deployment, "--json")
        assert json.loads(out)["schema_version"] == 1

    def test_demo_writes_its_folder_and_says_where_to_go(
        self, cli: Run, seen: dict[str, Any], tmp_path: Path
    ) -> None:
        code, out, _ = cli("demo", "--out", str(tmp_path / "d"))
        assert code == 0
        assert {p.name for p in (tmp_path / "d").iterdir()} == {
            "report.html", "report.md", "report-figures", "answer.json", "scenario.yaml",
        }  # fmt: skip
        assert "Now yours" in out
        assert json.loads((tmp_path / "d" / "answer.json").read_text())["schema_version"] == 1

    def test_app_hands_its_options_to_the_web_app(
        self, cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        started: dict[str, Any] = {}

        def instead(command: list[str], environment: dict[str, str]) -> int:
            started.update(command=command, env=environment)
            return 0

        monkeypatch.setattr("advisor.cli.app.find_spec", lambda _name: object())
        monkeypatch.setattr("advisor.cli.app._watched", instead)
        for name in ("LORA_ADVISOR_JOBS", "LORA_ADVISOR_WORKSPACE"):
            monkeypatch.delenv(name, raising=False)
        assert cli("app", "--port", "8600")[0] == 0
        assert "LORA_ADVISOR_JOBS" not in started["env"]
        assert started["command"][started["command"].index("--server.port") + 1] == "8600"
        cli("app", "--jobs", "4", "--workspace", str(tmp_path))
        assert started["env"]["LORA_ADVISOR_JOBS"] == "4"
        assert started["env"]["LORA_ADVISOR_WORKSPACE"] == str(tmp_path.resolve())

    def test_who_ends_the_app_ends_its_server(self, tmp_path: Path) -> None:
        server = (
            f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()));"
        )
        code = (
            "import os, sys; from advisor.cli.app import _watched;"
            f"_watched([sys.executable, '-c', {server + 'time.sleep(60)'!r}], dict(os.environ))"
        )
        with subprocess.Popen([sys.executable, "-c", code]) as program:
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                assert program.poll() is None
                time.sleep(0.05)
            program.terminate()
            program.wait(20)
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)

    @pytest.mark.parametrize("what", ["models", "devices", "prices", "engines"])
    def test_catalog(self, cli: Run, what: str) -> None:
        code, out, _ = cli("catalog", what)
        assert code == 0
        assert len(out.splitlines()) > 3
        _, out, _ = cli("catalog", what, "--json")
        assert json.loads(out)["schema_version"] == 1
        assert json.loads(out)[what]

    def test_the_printed_example_is_valid(self, cli: Run, tmp_path: Path) -> None:
        _, out, _ = cli("scenario", "example")
        mine = tmp_path / "mine.yaml"
        mine.write_text(out)
        code, out, _ = cli("scenario", "check", str(mine))
        assert code == 0
        assert "is valid" in out

    def test_every_shipped_scenario_is_valid(self, cli: Run) -> None:
        _, names, _ = cli("scenario", "example", "--list")
        for name in names.split():
            assert cli("scenario", "check", str(SHIPPED.parent / f"{name}.yaml"))[0] == 0

    def test_unknown_names_are_answered_with_the_known_ones(self, cli: Run) -> None:
        code, _, err = cli("scenario", "example", "nonsense")
        assert code == 2
        assert "platform-40-adapters" in err


class TestProcess:
    """What only a process of its own shows: pipes, encodings, start-up."""

    def start(self, *args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "advisor", *args],
            capture_output=True,
            env=environment,
            check=False,
            **options,
        )

    def test_version(self) -> None:
        done = self.start("--version")
        assert done.returncode == 0
        assert done.stdout.startswith(b"advisor 0.")

    def test_a_closed_pipe_ends_quietly(self) -> None:
        read, write = os.pipe()
        os.close(read)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "advisor", "catalog", "prices", "--json"]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
        os.close(write)
        assert done.stderr == b""
        assert done.returncode == 0

    def test_a_plain_terminal_gets_plain_characters(self) -> None:
        done = self.start("catalog", "devices", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
        assert done.returncode == 0
        assert "?" not in done.stdout.decode("ascii")

    def test_help_imports_nothing_heavy(self) -> None:
        heavy = ("numpy", "scipy", "pandas", "altair", "pyarrow", "pydantic", "streamlit", "simpy", "yaml")
        code = (
            "import sys\nfrom advisor.cli.failures import run\nfrom advisor.cli.root import root\n"
            f"run(root, 'advisor', ['--help'])\nsys.exit(repr([m for m in {heavy!r} if m in sys.modules]))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
        assert done.stderr.strip() == b"[]"


def test_every_command_has_help_with_an_example_and_exit_codes(cli: Run) -> None:
    for name in COMMANDS:
        code, out, _ = cli(name, "--help")
        assert code == 0, name
        assert "Example" in out, name
        assert "Exit codes" in out, name


def test_the_reference_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: python -m advisor.cli.reference"
