"""`calibrate validate` on the shipped tiny model, with a made-up profile: files, report, going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from click.testing import CliRunner, Result

from advisor.errors import validated
from advisor.files import read_json
from advisor.held import held_of
from advisor.profile import save_profile
from calibration import tinymodels
from calibration.cli import main
from calibration.engine.config import read_architecture
from calibration.validate.whole import Validation
from tests.profiles import profile, terms
from tests.validate.golden import KEYS, shape_of

SCENARIOS = "base, low load;8 adapters, Zipf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of our own, and a profile of the tiny model's shape with made-up times."""
    root = tmp_path_factory.mktemp("validation")
    shape = read_architecture(tinymodels.model_dir()).shape
    save_profile(profile(terms(shape), engine="builtin", graph_sizes=()), root / "p.json")
    return root


def validate(folder: Path, *more: str) -> Result:
    given = ["validate", "--profile", str(folder / "p.json"), "--out", str(folder / "out")]
    runner = CliRunner(env={"LORA_ADVISOR_CACHE": str(folder / "cache")})
    return runner.invoke(main, [*given, "--duration", "400ms", "--replays", "2", *more])


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    result = validate(folder, "--scenarios", SCENARIOS, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_json_has_the_fields_it_always_had(report: dict[str, Any], folder: Path) -> None:
    assert report["schema_version"] == 1
    cases = json.loads((folder / "out" / "report.json").read_text())["cases"]
    assert cases == report["cases"]
    known = json.loads(KEYS.read_text(encoding="utf-8"))
    assert shape_of(report) == known, "changed on purpose? python -m tests.validate.golden"


def test_the_web_app_reads_the_same_verdicts(report: dict[str, Any]) -> None:
    cells = [cell for case in report["cases"] for option in case["options"] for cell in option["cells"]]
    rows = held_of(report, "report")
    assert len(rows) == len(cells)
    for row, cell in zip(rows, cells, strict=True):
        assert row.error == pytest.approx(cell["error"], abs=1e-9)
        assert row.holds is (abs(cell["error"]) <= cell["allowed"])


def test_every_scenario_has_its_file_and_the_page_its_pictures(report: dict[str, Any], folder: Path) -> None:
    names = [case["name"] for case in report["cases"]]
    assert names == SCENARIOS.split(";")
    assert len(list((folder / "out").glob("*.json"))) == 1 + len(names)
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    options = sum(len(case["options"]) for case in report["cases"])
    assert page.count("<svg") == 1 + options
    assert page.count("<table") == options
    assert "http://" not in page.replace("http://www.w3.org", ""), "one file, no network"


def test_what_is_measured_does_not_follow_the_profile(report: dict[str, Any]) -> None:
    """The profile is made up: were measured figures predictions in disguise, errors would be 0."""
    for case in report["cases"]:
        for option in case["options"]:
            assert option["measured"]["answered"] == case["requests"]
            assert option["step_errors"][0] != option["step_errors"][1]
            assert all(
                abs(cell["error"]) > 1e-6 for cell in option["cells"] if "acceptance" not in cell["name"]
            )


def test_going_on_replays_only_what_is_missing(report: dict[str, Any], folder: Path) -> None:
    replays = folder / "out" / "replays"
    kept = {file.name: file.read_bytes() for file in sorted(replays.iterdir())}
    assert len(kept) == 2 * sum(len(case["options"]) for case in report["cases"])
    lost = "base-low-load.32-tokens.2.parquet"
    (replays / lost).unlink()
    result = validate(folder, "--scenarios", SCENARIOS, "--json", "--resume")
    assert result.exit_code == 0, result.output
    changed = [name for name, content in kept.items() if (replays / name).read_bytes() != content]
    assert changed == [lost]
    again = json.loads(result.stdout)
    assert again["cases"][1] == report["cases"][1]
    before, after = (found["cases"][0]["options"][1]["replays"] for found in (report, again))
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_replays_of_another_trace_are_not_taken(report: dict[str, Any], folder: Path) -> None:
    result = validate(folder, "--scenarios", "base, low load", "--json", "--resume", "--seed", "5")
    assert result.exit_code == 0, result.output
    before, after = report["cases"][0], json.loads(result.stdout)["cases"][0]
    assert after["options"][0]["replays"][0]["e2e_s"] != before["options"][0]["replays"][0]["e2e_s"]
    assert after["options"][0]["measured"]["answered"] == after["requests"]


@pytest.mark.usefixtures("report")
def test_the_text_shows_both_sides_and_the_choice(folder: Path) -> None:
    result = validate(folder, "--scenarios", SCENARIOS, "--resume")
    assert result.exit_code == 0
    for said in (
        "adapter loads",
        "predicted",
        "measured",
        "noise",
        "ttft p50",
        "throughput",
        "choice by e2e p90",
        "regret",
    ):
        assert said in result.stdout
    kept = validated(Validation, read_json(folder / "out" / "report.json"), "report.json")
    assert f"First choice right in {kept.right_choices} of 2 scenarios" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scenarios", "lunch"), "lunch; allowed: all, quick, or of base, low load"),
        (("--scenarios", ";"), "--scenarios is empty"),
        (("--model", "huge"), "--model is 'huge'"),
        (("--duration", "soon"), "--duration"),
        (("--budget", "9s"), "--budget leaves 9 s for 56 replays; allowed: at least 364 s"),
    ],
)
def test_wrong_input_is_one_sentence(folder: Path, options: tuple[str, ...], said: str) -> None:
    result = validate(folder, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output
