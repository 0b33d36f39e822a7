"""A measured run sent anew in the simulator: closed loops, adapters, the two commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from advisor.errors import InputError
from advisor.profile import save_profile
from advisor.replayed import load_replay
from calibration.cli import main
from calibration.results.compare import compared
from calibration.results.load import Load, closed_loop, load_of
from calibration.results.measured import MeasuredRun, load_runs
from calibration.results.predict import Server, predict_run
from tests import profiles

GOLDEN = Path(__file__).parent / "golden"


def run_of(**changes: Any) -> MeasuredRun:
    parts: dict[str, Any] = {
        "name": "r", "tool": "t", "model": "Llama-3.1-8B", "completed": 40, "duration_s": 10.0,
        "prompt_tokens": 200.0, "output_tokens": 30.0,
    }  # fmt: skip
    return MeasuredRun(**{**parts, **changes})


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_one_at_a_time_follows_the_step_times_by_hand() -> None:
    """No waiting: TTFT is one prompt step, each gap one decode step; so throughput is 1 / E2E."""
    found = predict_run(profiles.profile(), run_of(max_concurrency=1, completed=12), None, Server())
    assert found.at_once == pytest.approx(1.0, rel=2e-3)
    assert found.itl.mean_s == pytest.approx(found.tpot.mean_s)
    assert found.ttft.p50_s == pytest.approx(found.ttft.p99_s, rel=1e-6)


def test_a_closed_loop_keeps_its_number_in_flight_and_no_more() -> None:
    run = run_of(max_concurrency=4)
    sent: list[Any] = []

    def simulate(trace: Any) -> Any:
        """A server of one second a request, whatever the load."""
        sent.append(trace.arrival_s)
        ends = trace.arrival_s + 1.0
        return type("R", (), {"last_token_s": ends, "e2e_s": ends - trace.arrival_s})()

    load = load_of(run, None, adapters=0, seed=0)
    result, settled = closed_loop(load, simulate, simulate)
    assert settled
    assert sent[-1].tolist() == [float(index // 4) for index in range(40)]
    assert result.last_token_s[-1] == 10.0


def test_a_closed_loop_is_settled_in_the_simulator() -> None:
    profile = profiles.profile()
    found = predict_run(profile, run_of(max_concurrency=8), None, Server())
    assert not [note for note in found.notes if "settle" in note]
    assert 7.0 < (found.at_once or 0.0) <= 8.0 + 1e-6
    alone = predict_run(profile, run_of(max_concurrency=1), None, Server())
    assert found.throughput_rps > 4 * alone.throughput_rps


def test_a_rate_and_a_limit_together_send_when_both_allow() -> None:
    run = run_of(request_rate_rps=1.0, arrival_cv=0.0, max_concurrency=2, completed=6)
    load = load_of(run, None, adapters=0, seed=0)
    assert load.trace.arrival_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert any("evenly spaced" in note for note in load.notes)

    def slow(trace: Any) -> Any:
        ends = trace.arrival_s + 3.0
        return type("R", (), {"last_token_s": ends, "e2e_s": ends - trace.arrival_s})()

    result, settled = closed_loop(load, slow, slow)
    assert settled
    assert (result.last_token_s - 3.0).tolist() == [0.0, 1.0, 3.0, 4.0, 6.0, 7.0]


def test_poisson_arrivals_have_the_rate_and_the_seed_decides() -> None:
    run = run_of(request_rate_rps=5.0, completed=4000)
    one, again, other = (load_of(run, None, adapters=0, seed=seed).trace.arrival_s for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    gaps = np.diff(one)
    assert gaps.mean() == pytest.approx(0.2, rel=0.08)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.1)


def test_every_adapter_is_asked_for_as_often() -> None:
    load = load_of(run_of(completed=30), None, adapters=10, seed=3)
    assert np.bincount(load.trace.adapter).tolist() == [3] * 10
    assert load.trace.adapter.tolist() != sorted(load.trace.adapter.tolist())


def test_few_slots_make_adapters_wait() -> None:
    profile = profiles.profile()
    server = Server(adapters=16, max_lora_rank=16)
    run = run_of(max_concurrency=16)
    few = predict_run(profile, run, None, replace(server, max_loras=2))
    many = predict_run(profile, run, None, replace(server, max_loras=16))
    assert few.ttft.mean_s is not None
    assert many.ttft.mean_s is not None
    assert few.ttft.mean_s > 3 * many.ttft.mean_s


@pytest.mark.parametrize(
    ("changes", "server", "says"),
    [
        ({"adapters": 4}, Server(), "4 adapters were asked for; allowed: with --max-loras"),
        ({"model": ""}, Server(), "names no model; allowed: --model"),
        ({"model": "my-alias"}, Server(), "Say which it is with --model"),
        ({}, Server(memory_share=0.1), "does not fit 1 x TEST-80"),
        ({}, Server(tensor_parallel=2), "has no terms for Llama-3.1-8B at tensor parallel 2"),
        ({"completed": 30_000}, Server(), "has 30000 requests; allowed: 20000"),
    ],
)
def test_what_cannot_be_predicted_is_told(changes: dict[str, Any], server: Server, says: str) -> None:
    with pytest.raises(InputError) as caught:
        predict_run(profiles.profile(), run_of(**changes), None, server)
    assert says in str(caught.value)


def test_a_prediction_held_to_itself_has_no_error() -> None:
    found = predict_run(profiles.profile(), run_of(max_concurrency=4), None, Server())
    assert {cell.error for cell in compared(found, found).cells} == {0.0}


def test_errors_have_their_sign_and_only_shared_figures_are_shown() -> None:
    predicted = predict_run(profiles.profile(), run_of(max_concurrency=4), None, Server())
    half = predicted.ttft.model_copy(update={"mean_s": 2 * (predicted.ttft.mean_s or 0.0), "p99_s": None})
    measured = predicted.model_copy(update={"ttft": half})
    cells = {cell.figure: cell for cell in compared(measured, predicted).cells}
    assert cells["TTFT mean"].error == pytest.approx(-0.5)
    assert "TTFT p99" not in cells


def test_import_and_compare_from_the_shell(tmp_path: Path) -> None:
    runs, requests, profile = tmp_path / "runs.json", tmp_path / "r.parquet", tmp_path / "p.json"
    save_profile(profiles.profile(), profile)
    done = command("import", "vllm-bench", GOLDEN / "vllm_bench.json", "--out", runs, "--requests", requests)
    assert done.exit_code == 0, done.output
    assert "3 of 4 requests of 100 + 10 tokens, at most 2 at once" in done.output
    assert load_runs(runs).runs[0].completed == 3
    assert load_replay(requests).done.sum() == 3
    for source in (GOLDEN / "vllm_bench.json", runs):
        shown = command("compare", source, "--profile", profile, "--json")
        assert shown.exit_code == 0, shown.output
        told = json.loads(shown.output)
        figures = {cell["figure"]: cell for cell in told["runs"][0]["cells"]}
        assert figures["TTFT mean"]["measured"] == pytest.approx(0.05)
        assert told["schema_version"] == 1
    text = command("compare", GOLDEN / "vllm_bench.json", "--profile", profile).output
    assert "TTFT mean, ms" in text
    assert "1 requests failed and are left out." in text


def test_the_shell_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    again = tmp_path / "runs.json"
    again.write_text("{}")
    source = GOLDEN / "vllm_bench.json"
    refused = command("import", "vllm-bench", source, "--out", again)
    assert (refused.exit_code, again.read_text()) == (2, "{}")
    sums = command("import", "aiperf", GOLDEN / "aiperf_sums.json", "--requests", tmp_path / "r.parquet")
    assert sums.exit_code == 2
    assert "0 of 1 runs tell their requests" in sums.output
    assert command("compare", source, "--profile", "nothing").exit_code == 2


def test_runs_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps({"schema_version": 2, "runs": []}))
    with pytest.raises(InputError, match="newer"):
        load_runs(path)


def test_load_of_a_burst_is_sent_at_once() -> None:
    load = load_of(run_of(), None, adapters=0, seed=0)
    assert isinstance(load, Load)
    assert load.at_once is None
    assert not load.trace.arrival_s.any()
