"""The public server's client repeated: who sends what when; what is counted; errors and choices by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.datafiles import data_dir
from advisor.deployment import Variant
from advisor.profile import load_profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import FleetSetup
from advisor.spec.model import ALL_LINEAR
from advisor.trace.scale import take
from benchmarks._server_client import Law, Lengths, adapter_rates, lengths, pairs, sending_times, trace_of
from benchmarks._server_hour import counted, limits_of, mean_of_ramp, servers, simulate_hour
from benchmarks._server_runs import HORIZON_S, Measured, Run, read_hours
from benchmarks.validate_multilora import SHOWN, Pair, best, choices, pairs_csv, sample, summary
from calibration.importers.server_profile import MEMORY_SHARE, MODELS

NOTHING = Measured(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def a_run(**changes: object) -> Run:
    run = Run("llama-3.1-8b-instruct", 16, (0.1, 0.05, 0.025), 8, 8, 2048, 220.0, 195.0, 197.0, NOTHING)
    return replace(run, **changes)  # type: ignore[arg-type]  # any field


def test_rate_classes_take_turns() -> None:
    assert adapter_rates(5, (4.0, 2.0, 1.0)).tolist() == [4.0, 2.0, 1.0, 4.0, 2.0]


def test_each_adapter_sends_at_its_rate_within_the_hour() -> None:
    times, adapters = sending_times(np.asarray([1.0, 0.25]))
    assert np.all(np.diff(times) >= 0)
    assert times[-1] < HORIZON_S
    for adapter, rate in enumerate((1.0, 0.25)):
        expected = rate * HORIZON_S
        assert np.sum(adapters == adapter) == pytest.approx(expected, abs=4 * np.sqrt(expected))


@pytest.mark.parametrize("mean", [150.0, 195.0, 225.0])
def test_lengths_have_the_mean_and_the_quartiles(mean: float) -> None:
    law = Law(231.0, 27.0, 358.0, 1800.0)
    tokens = lengths(law, mean, (np.arange(40_000) + 0.5) / 40_000)
    assert tokens.mean() == pytest.approx(mean, rel=0.005)
    assert np.quantile(tokens, [0.25, 0.75]) == pytest.approx([27 * mean / 231, 358 * mean / 231], rel=0.05)
    assert tokens.min() >= 4
    assert tokens.max() <= 1800


@pytest.mark.parametrize("opposite", [0.0, 0.5, 1.0])
def test_answers_lie_in_the_opposite_half_as_often_as_asked(opposite: float) -> None:
    prompt, answer = pairs(replace(Lengths(), opposite=opposite), 20_000, np.random.default_rng(0))
    assert np.mean((prompt < 0.5) != (answer < 0.5)) == pytest.approx(opposite, abs=0.02)
    assert np.histogram(answer, 4, (0.0, 1.0))[0] == pytest.approx(5000, rel=0.06)


def test_settings_of_one_workload_see_the_same_requests() -> None:
    one, other = (trace_of(a_run(max_loras=slots), Lengths()) for slots in (4, 8))
    np.testing.assert_array_equal(one.arrival_s, other.arrival_s)
    np.testing.assert_array_equal(one.output_tokens, other.output_tokens)


def test_the_client_counts_what_ended_within_the_hour() -> None:
    """Three requests: 11 tokens from 2 to 4 s, one token at 6 s, one that ends after the hour."""
    first, last = np.asarray([2.0, 6.0, 3000.0]), np.asarray([4.0, 6.0, HORIZON_S + 1.0])
    tokens = np.asarray([11, 1, 500])
    empty = np.zeros((3, len(CAUSES)))
    zero = np.zeros(3, dtype=np.int64)
    arrival = np.asarray([1.0, 5.5, 2999.0])
    result = SimResult(
        arrival,
        arrival,
        first,
        last,
        tokens,
        tokens,
        zero,
        zero,
        zero,
        zero,
        zero,
        empty,
        empty,
        HORIZON_S,
        1,
        1.0,
        0,
        0,
        0.0,
    )
    assert counted(result) == Measured(2.0, 12 / HORIZON_S, 0.2, 0.2, 0.75, 0.75)


@pytest.mark.parametrize("ending", MODELS)
def test_both_engines_agree_on_the_servers_own_profile(ending: str) -> None:
    """Slots in blocks: the cost of a step jumps at tiles of tokens and at 121, where lines must not cross."""
    known = load_profile(data_dir() / "profiles" / "servers" / f"h100_64gb-vllm-0.8-{ending}.json")
    run = a_run(rates_rps=(1.6, 0.8, 0.4), adapters=96, max_loras=64, rank=32)
    trace = take(trace_of(run, Lengths()), np.arange(400))
    variant = Variant("multi-lora", known, known.models[0], None, MEMORY_SHARE, ALL_LINEAR)
    setup = FleetSetup(replica=variant.replica(limits_of(run), (32,) * 96), horizon_s=60.0)
    plain, skipping = simulate_fleet(setup, trace, engine="plain"), simulate_fleet(setup, trace)
    assert plain.steps > 500
    for name in ("first_token_s", "last_token_s", "ttft_causes_s", "decode_causes_s", "step_time_s"):
        np.testing.assert_allclose(getattr(skipping, name), getattr(plain, name), rtol=1e-9, atol=1e-9)


def test_a_queue_that_fills_up() -> None:
    assert mean_of_ramp(1.0, 10_000.0) == pytest.approx(1800.0)
    assert mean_of_ramp(10.0, 18_000.0) == pytest.approx(18_000 * 0.75)


def test_errors_sides_and_choices_by_hand() -> None:
    fast = Measured(100.0, 50.0, 0.02, 0.02, 0.1, 0.1)
    slow = replace(fast, completed=50.0, output_tokens_per_s=25.0, ttft_mean_s=10.0)
    right = Pair(a_run(max_loras=8, measured=fast), fast, 100)
    wrong = Pair(a_run(max_loras=16, measured=slow), replace(fast, ttft_mean_s=0.05), 100)
    assert right.error("output_tokens_per_s") == 0.0
    assert wrong.error("output_tokens_per_s") == pytest.approx(2 * 25 / 75)
    assert (right.right_side, wrong.right_side, wrong.starved) == (True, False, True)
    assert best([right, wrong], lambda pair: pair.run.measured) is right
    assert best([right, wrong], lambda pair: pair.predicted) is wrong
    assert choices([right, wrong]).startswith("Best max_loras: 0 of 1 workloads")
    assert "50.0 %" in choices([right, wrong])
    assert "| **all runs** | 2 | 33.3 % |" in summary([right, wrong])
    assert pairs_csv([right]).count("\n") == 2


def test_a_sample_is_drawn_with_a_seed() -> None:
    runs = [a_run(adapters=number) for number in range(3, 40)]
    assert sample(runs, None) == runs
    assert sample(runs, 5) == sample(runs, 5)
    assert len(sample(runs, 5)) == 5


@pytest.mark.data
def test_the_real_file_holds_294_hours_and_our_client_sends_as_many_requests(shared_data: Path) -> None:
    runs = read_hours(shared_data)
    assert len(runs) == 294
    light = [
        run
        for run in runs
        if run.adapters in (8, 64) and run.max_loras == run.adapters and max(run.rates_rps) < 1
    ]
    assert len(light) == 8
    for run in light:
        sent = len(trace_of(run, Lengths()))
        assert run.measured.completed == pytest.approx(sent, rel=0.004)


@pytest.mark.data
@pytest.mark.slow
def test_a_light_and_a_starved_hour_come_out_as_measured(shared_data: Path) -> None:
    known = servers(shared_data)
    chosen = {"llama-3.1-8b-instruct/r16/0.1/16/16": 0.1, "llama-3.1-8b-instruct/r16/0.1/64/8": 0.25}
    runs = [run for run in read_hours(shared_data) if run.key in chosen]
    assert len(runs) == 2
    for run in runs:
        trace, result = simulate_hour(run, known[run.model], Lengths())
        pair = Pair(run, counted(result), len(trace))
        assert pair.error("output_tokens_per_s") < 0.025
        assert all(pair.error(metric) < chosen[run.key] for metric in SHOWN), pair
        assert limits_of(run).max_loras == run.max_loras
