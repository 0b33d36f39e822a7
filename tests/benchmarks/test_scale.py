"""What the benchmarks of scale and of peers simulate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.sim.fleet import simulate_fleet
from benchmarks._peer_runs import rows
from benchmarks.peers import trace_to_share, write_csv
from benchmarks.simulator_scale import DAY_S, Line, day_arrivals_s, lines, measure


def test_a_day_has_its_peak_at_noon_and_its_valley_at_midnight() -> None:
    arrival_s = day_arrivals_s(24_000)
    assert np.all(np.diff(arrival_s) >= 0)
    assert arrival_s[0] >= 0
    assert arrival_s[-1] <= DAY_S
    by_hour = np.bincount((arrival_s / 3600).astype(int), minlength=24) / 1000
    np.testing.assert_allclose(by_hour[[0, 12]], [0.4, 1.6], atol=0.12)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")
def test_a_line_is_simulated_on_its_replicas_to_the_end() -> None:
    line = Line("three", 300, 3)
    cost = measure(line)
    assert cost.steps > 0
    assert cost.tokens > 300
    assert {line.replicas for line in lines(1_000_000)} == {1, 4, 64, 1_000}
    assert max(line.requests for line in lines(10_000_000)) == 10_000_000


def test_peers_get_the_trace_that_we_simulate(tmp_path: Path) -> None:
    trace = trace_to_share(50, 14.0)
    assert int((trace.prompt_tokens + trace.output_tokens).max()) <= 4096
    write_csv(trace, tmp_path / "trace.csv")
    read = np.asarray(rows(str(tmp_path / "trace.csv")))
    np.testing.assert_array_equal(read[:, 0], trace.arrival_s)
    np.testing.assert_array_equal(read[:, 1:], np.column_stack((trace.prompt_tokens, trace.output_tokens)))
    assert simulate_fleet(Line("one", 50, 1).case.fleet, trace).done.all()
