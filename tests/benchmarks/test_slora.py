"""The public S-LoRA runs: what their clients sent, what a machine is told, how runs are counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.steptime.batch import Batch
from advisor.trace.trace import BASE
from benchmarks import _slora_runs, _slora_server
from benchmarks._slora_runs import Run, requests_of, settings
from benchmarks._slora_server import MACHINES, simulate
from benchmarks.validate_slora import Pair, crossings, merged_or_not, predicted, row, summary

PAPER = Run(
    kind="paper", system="slora", machine="a100-80", setting="S2", adapters=20, alpha=1.0, rate_rps=2.0,
    cv=1.0, duration_s=60.0, input_max=512, output_max=512, sent=120, throughput_rps=1.6, latency_s=20.0,
    ttft_s=5.0, keeps_up=True,
)  # fmt: skip
SCALING = replace(
    PAPER, kind="scaling", machine="H100 64 GB", setting="rank 32", adapters=640, rate_rps=16.0,
    duration_s=1450.0, input_max=250, output_max=230, sent=23_040,
)  # fmt: skip


def test_the_papers_requests_are_drawn_as_its_client_draws_them() -> None:
    requests = requests_of(PAPER)
    draw = np.random.RandomState(42)
    assert requests.adapter.tolist() == [int(share * 20) for share in draw.power(1.0, 120)]
    assert requests.prompt_tokens.tolist() == draw.randint(8, 512, 120).tolist()
    assert requests.output_tokens.tolist() == draw.randint(8, 512, 120).tolist()
    assert requests.arrival_s[-1] == pytest.approx(sum(draw.gamma(1.0, 0.5, 120)))
    assert requests_of(replace(PAPER, alpha=0.1)).adapter.mean() < 2  # a small alpha: nearly all to the first
    assert set(requests_of(replace(PAPER, adapters=0)).adapter.tolist()) == {BASE}


def test_the_second_clients_requests_have_one_length() -> None:
    requests = requests_of(SCALING)
    assert set(requests.prompt_tokens.tolist()) == {250}
    assert set(requests.output_tokens.tolist()) == {230}
    assert requests.arrival_s[-1] == pytest.approx(1450.0)  # the run ends with its last request
    many = requests_of(replace(SCALING, sent=368_640, rate_rps=256.0))
    assert len(many) / many.arrival_s[-1] == pytest.approx(256.0, rel=0.03)
    assert len(many) == _slora_runs.MOST_SIMULATED


def test_adapters_take_room_in_the_pool() -> None:
    few, many = (replace(SCALING, adapters=count) for count in (1, 640))
    room, seats = _slora_server._room(few, settings()["rank 32"], requests_of(few), 82_528)
    assert (room, seats) == (82_528 - 4 * 32, 225)  # 250 + 230 / 2 = 365 tokens a sequence
    room, seats = _slora_server._room(many, settings()["rank 32"], requests_of(many), 82_528)
    distinct = 640 * (1 - (1 - 1 / 640) ** seats)
    assert room == pytest.approx(82_528 - 4 * 32 * distinct, abs=128)
    assert seats == pytest.approx(room / 365, abs=2)


def test_another_bandwidth_stretches_the_device_and_not_the_host() -> None:
    requests, setting = requests_of(PAPER), settings()["S2"]
    fast = _slora_server._replica(PAPER, setting, requests, 0.01).clock
    slow = _slora_server.Scaled(fast, 2.0)
    batch = Batch(4, 1000, (), 4, 0, 2)
    one, two = fast.parts(batch), slow.parts(batch)
    assert two.host == one.host == pytest.approx(0.01, rel=0.02)
    assert two.dense == 2 * one.dense
    assert two.total - two.host == pytest.approx(2 * (one.total - one.host))
    line = slow.decode_line(4, 2, 0, 1000)
    ends = zip(line.at_zero, line.slope, strict=True)
    assert [a + 1000 * b for a, b in ends] == pytest.approx(list(two))


def test_host_time_and_unmerged_adapters_cost_and_merging_costs_turns() -> None:
    base = predicted(replace(PAPER, adapters=0), 0.0)
    assert predicted(replace(PAPER, adapters=0), 0.05).latency_s > 1.5 * base.latency_s
    assert predicted(PAPER, 0.0).latency_s > base.latency_s
    one = replace(PAPER, adapters=1, machine="a10g")
    merged = predicted(replace(one, system="merge"), 0.01)
    assert merged.throughput_rps > predicted(one, 0.01).throughput_rps
    five = replace(one, adapters=5)
    assert predicted(replace(five, system="merge"), 0.01).throughput_rps < merged.throughput_rps


def test_a_run_that_ends_too_little_is_overloaded_and_late_requests_count() -> None:
    short = replace(SCALING, duration_s=60.0, sent=960)
    light = predicted(replace(SCALING, duration_s=600.0, rate_rps=1.0, sent=600), 0.005)
    assert light.keeps_up
    heavy = predicted(replace(short, rate_rps=40.0, sent=2400), 0.005)
    assert not heavy.keeps_up
    assert heavy.ttft_s == 60.0  # more than half have not ended: the client counts the whole run for them
    assert heavy.throughput_rps < 20


def test_every_machine_is_told_the_pool_of_its_runs() -> None:
    assert all(
        set(machine.pool_tokens) <= {*settings()} and min(machine.pool_tokens.values()) > 10_000
        for machine in MACHINES.values()
    )
    result = simulate(PAPER, settings()["S2"], requests_of(PAPER), None)
    assert result.done.all()


def test_tables_by_hand() -> None:
    slow = replace(PAPER, duration_s=300.0)
    runs = [replace(slow, adapters=n, keeps_up=n < 50) for n in (1, 20, 50)]
    found = predicted(PAPER, 0.01)
    pairs = [Pair(run, replace(found, keeps_up=run.adapters < 20), found) for run in runs]
    assert "| a100-80, S2, 2 requests/s: adapters | 1 to 50 | 20 | 1 | 50 |" in crossings(pairs)
    assert "| 67 % |" in summary(pairs)
    assert row(pairs[0])["measured_throughput_rps"] == 1.6
    merge = replace(PAPER, kind="merge", system="merge", throughput_rps=2.0)
    both = [
        Pair(merge, replace(found, throughput_rps=1.0), found),
        Pair(replace(merge, system="slora", throughput_rps=1.9), replace(found, throughput_rps=1.1), found),
    ]
    assert "| 20, alpha 1 | 1 of 1 | 0 of 1 | 0 of 1 |" in merged_or_not(both)


def test_the_files_hold_what_was_sent(shared_data: Path) -> None:
    pool = _slora_runs.read_pool(shared_data)
    assert {run.machine for run in pool} == {"a10g", "a100-40", "a100-80"}
    keys = [(r.machine, r.setting, r.adapters, r.alpha, r.rate_rps, r.cv, r.duration_s) for r in pool]
    assert len(set(keys)) == len(keys)
    assert len(_slora_runs.read_merging(shared_data)) == 288
    assert set(_slora_runs.read_copies(shared_data)) == {1, 2, 4, 5}
    for run in _slora_runs.read_scaling(shared_data):
        assert run.sent == pytest.approx(run.rate_rps * _slora_runs.SEND_S, rel=1e-6)
