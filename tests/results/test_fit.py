"""A profile from measured runs: against runs of an engine whose terms are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from advisor.errors import MeasurementError
from advisor.profile import Profile, load_profile
from advisor.spec.spec import Origin
from calibration.cli import main
from calibration.results.measured import MeasuredRun, MeasuredRuns, save_runs
from calibration.results.predict import Server, predict_run
from calibration.results.profile import Place, fit_runs, points_of, profile_of
from tests.profiles import DEVICE, LLAMA_8B, profile

LOADS = (1, 2, 4, 8, 16, 32)
PLACE = Place(LLAMA_8B, DEVICE, "vllm", "0.0", 1, "made up")


def run_of(truth: Profile, at_once: int, prompt: int = 512, output: int = 100) -> MeasuredRun:
    """What a load generator would have measured."""
    asked = MeasuredRun(
        name=f"{at_once} at once", tool="vllm bench serve", model="Llama-3.1-8B", completed=5 * at_once + 5,
        duration_s=10.0, prompt_tokens=prompt, output_tokens=output, max_concurrency=at_once,
    )  # fmt: skip
    return predict_run(truth, asked, None, Server()).model_copy(update={"tool": asked.tool})


@pytest.fixture(scope="module")
def runs() -> list[MeasuredRun]:
    return [run_of(profile(), load, prompt) for load in LOADS for prompt in (256, 1024)]


def test_a_run_that_it_has_not_seen_is_predicted(runs: list[MeasuredRun]) -> None:
    found = profile_of(runs, PLACE)
    for load, prompt, output in ((12, 600, 150), (24, 400, 60), (1, 2000, 40)):
        true, said = (run_of(one, load, prompt, output) for one in (profile(), found))
        for metric, near in (("tpot", 0.12), ("e2e", 0.12), ("ttft", 0.35)):
            measured, predicted = getattr(true, metric).mean_s, getattr(said, metric).mean_s
            assert predicted == pytest.approx(measured, rel=near), (load, metric)


def test_a_step_alone_is_what_the_terms_say(runs: list[MeasuredRun]) -> None:
    """The profile of the tests: 5 ms dense, 0.4 head, 1 host, 0.1 and more attention."""
    fit, _, _ = fit_runs(runs)
    assert fit.values["step"] == pytest.approx(6.6e-3, rel=0.08)
    assert fit.values["prompt token"] == pytest.approx(20e-6, rel=0.25)


def test_what_the_runs_do_not_tell_is_marked(runs: list[MeasuredRun]) -> None:
    found = profile_of(runs, PLACE)
    terms = found.models[0]
    assert terms.lora is None
    assert terms.dense.origin is Origin.FITTED
    assert {found.memory.origin, found.startup.origin, terms.head.origin} == {Origin.ESTIMATED}
    assert all(load.origin is Origin.ESTIMATED for load in found.loads)
    one_context = [run_of(profile(), load) for load in (2, 4, 8, 16)]
    fit, _, notes = fit_runs(one_context)
    assert set(fit.values) == {"step", "sequence", "prompt token"}
    assert any("one context" in note for note in notes)
    assert any("one request at a time" in note for note in notes)


def test_one_load_is_too_little(runs: list[MeasuredRun]) -> None:
    with pytest.raises(MeasurementError, match="hold 1 numbers of requests at once"):
        fit_runs(runs[:2])
    with pytest.raises(MeasurementError, match="allowed: at least one a term"):
        fit_runs([runs[2], runs[9]])


def test_a_first_token_counts_where_nobody_waits(runs: list[MeasuredRun]) -> None:
    first = [point for point in points_of(runs) if "request" in point.row]
    assert len(first) == 2
    assert {point.run for point in first} == {"1 at once, predicted"}


def test_the_command_writes_a_profile_that_compare_takes(runs: list[MeasuredRun], tmp_path: Path) -> None:
    from datetime import UTC, datetime

    kept = MeasuredRuns(
        schema_version=1,
        created=datetime(2026, 11, 27, tzinfo=UTC),
        producer="t",
        source="s",
        runs=tuple(runs),
    )
    save_runs(kept, tmp_path / "runs.json")
    out = tmp_path / "p.json"
    place = ("--model", "Llama-3.1-8B", "--device", "H100-80-SXM")
    found = command("fit", tmp_path / "runs.json", *place, "--out", out)
    assert found.exit_code == 0, found.output
    assert "nine in ten within" in found.output
    assert load_profile(out).device.name == "H100-80-SXM"
    again = command("fit", tmp_path / "runs.json", *place, "--out", out)
    assert again.exit_code == 2
    assert "exists" in again.output
    beside = command("compare", tmp_path / "runs.json", "--profile", out)
    assert beside.exit_code == 0, beside.output
    assert "TPOT mean, ms" in beside.output


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])
