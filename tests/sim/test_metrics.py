"""The numbers of a run, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.sim import metrics
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from tests.sim.test_fleet import fleet, trace


@pytest.fixture(scope="module")
def result() -> SimResult:
    """Steps of one second: tokens at 1, 2, 3 / at 2 / at 6, 7."""
    return simulate_fleet(fleet(), trace((0, 4, 3, -1), (0.5, 4, 1, -1), (5, 4, 2, -1)))


def test_latencies_and_windows(result: SimResult) -> None:
    whole = metrics.window(result)
    assert metrics.ttft_s(result, whole).tolist() == [1.0, 1.5, 1.0]
    assert metrics.tpot_s(result, whole).tolist() == [1.0, 1.0]  # the one-token answer has none
    assert metrics.e2e_s(result, metrics.window(result, warm_up_s=0.2)).tolist() == [1.5, 2.0]
    assert metrics.e2e_s(result, metrics.window(result, cool_down_s=1.0)).tolist() == [3.0, 1.5]
    assert metrics.percentiles(np.asarray([1.0, 2.0, np.nan]), (50.0,)).tolist() == [1.5]
    assert np.isnan(metrics.percentiles(np.asarray([]), (50.0,))).all()


def test_gaps_weigh_one_for_each_sequence(result: SimResult) -> None:
    assert metrics.itl_percentiles_s(result, (0.0, 50.0, 100.0)).tolist() == [1.0, 1.0, 1.0]
    stalled = simulate_fleet(fleet(), trace((0, 4, 4, -1), (0.5, 4, 2, 0)))  # gaps 1.75, 1, 1 and 1
    assert metrics.itl_percentiles_s(stalled, (75.0, 76.0)).tolist() == [1.0, 1.75]


def test_goodput_throughput_busy(result: SimResult) -> None:
    whole = metrics.window(result)
    assert metrics.goodput_share(result, whole, ttft_limit_s=1.2) == pytest.approx(2 / 3)
    assert metrics.goodput_share(result, whole, e2e_limit_s=2.5, tpot_limit_s=1.0) == pytest.approx(2 / 3)
    assert metrics.throughput_tokens_per_s(result, whole) == pytest.approx(4 / 5)
    assert metrics.throughput_rps(result, whole) == pytest.approx(2 / 5)
    assert metrics.busy_share(result, 1) == pytest.approx(5 / 7)
    assert metrics.acceptance_length(result) == 1.0
