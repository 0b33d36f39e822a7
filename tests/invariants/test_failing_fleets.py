"""What must hold whatever fails, scales or is preempted: random scenarios of `tests/sim/scenarios.py`.

That causes add up and that answers are as long as asked is in `tests/sim/test_engines_agree.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.sim.fleet import Engine, simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import Failure
from tests.sim.scenarios import Scenario, scenarios

ENGINES: tuple[Engine, ...] = ("skipping", "plain")


def failing(scenario: Scenario, failures: int) -> Scenario:
    """The same scenario with so many deaths within its trace, and no scaling."""
    fleet, rng = scenario.fleet, np.random.default_rng(scenario.seed)
    end_s = scenario.trace.duration_s + 0.1
    deaths = tuple(
        Failure(int(rng.integers(0, fleet.replicas)), end_s * rng.random(), 0.2 * end_s * rng.random())
        for _ in range(failures)
    )
    return replace(scenario, fleet=replace(fleet, failures=deaths, scaling=None))


def run(scenario: Scenario, engine: Engine = "skipping") -> SimResult:
    return simulate_fleet(scenario.fleet, scenario.trace, seed=scenario.seed, engine=engine, series=True)


@settings(max_examples=300)
@given(scenarios(), st.integers(1, 4), st.sampled_from(ENGINES))
def test_memory_seats_and_slots_are_never_above_their_limits(
    scenario: Scenario, failures: int, engine: Engine
) -> None:
    replica = scenario.fleet.replica
    for one in (scenario, failing(scenario, failures)):
        result = run(one, engine)
        assert len(result.series) == one.fleet.replicas
        for series in result.series:
            for column, most in (
                (series.kv_blocks_used, replica.kv_blocks),
                (series.running, replica.limits.max_num_seqs),
                (series.adapters_running, replica.limits.max_loras),
                (series.slots_filled, replica.limits.max_loras),
            ):
                assert column.min(initial=0) >= 0
                assert column.max(initial=0) <= most
            assert np.all(np.diff(series.time_s) >= 0)
            assert np.all(series.running + series.waiting <= len(one.trace.arrival_s))


@settings(max_examples=300)
@given(scenarios(), st.integers(1, 4))
def test_replicas_that_die_and_come_back_lose_no_request(scenario: Scenario, failures: int) -> None:
    one = failing(scenario, failures)
    one = replace(one, fleet=replace(one.fleet, horizon_s=None))
    result = run(one)
    assert result.done.all()
    np.testing.assert_array_equal(result.emitted_tokens, one.trace.output_tokens)
    frontend_s = one.fleet.replica.frontend_s
    assert np.all(result.scheduled_s >= result.arrival_s - 1e-12)
    assert np.all(result.first_token_s >= result.scheduled_s + frontend_s)
    assert np.all(result.last_token_s >= result.first_token_s)
    assert np.all(result.last_token_s[result.output_tokens > 1] > result.arrival_s[result.output_tokens > 1])
    assert np.all((result.replica >= 0) & (result.replica < one.fleet.replicas))
    assert result.load_s >= 0
    assert 0 < result.step_time_s <= one.fleet.replicas * result.end_s + 1e-9


@settings(max_examples=300)
@given(scenarios())
def test_who_dies_and_never_comes_back_takes_nobodys_seconds_away(scenario: Scenario) -> None:
    """All replicas are gone for good: what had finished by then is as it was, and nothing finishes after."""
    fleet = replace(scenario.fleet, failures=(), scaling=None, horizon_s=None, start_s=())
    whole = run(replace(scenario, fleet=fleet))
    gone_s = 0.5 * whole.end_s
    deaths = tuple(Failure(index, gone_s, np.inf) for index in range(fleet.replicas))
    cut = run(replace(scenario, fleet=replace(fleet, failures=deaths)))
    frontend_s = fleet.replica.frontend_s + fleet.replica.frontend_per_prompt_token_s * whole.prompt_tokens
    ended = whole.last_token_s - frontend_s < gone_s - 1e-9
    np.testing.assert_allclose(cut.last_token_s[ended], whole.last_token_s[ended], rtol=1e-9)
    assert not cut.done[whole.last_token_s - frontend_s > gone_s + 1e-9].any()


@settings(max_examples=300)
@given(scenarios(), st.sampled_from(ENGINES))
def test_first_come_first_served_within_each_adapter(scenario: Scenario, engine: Engine) -> None:
    """Without failures and with one replica nobody of an adapter begins before one of it who came earlier."""
    fleet = replace(scenario.fleet, replicas=1, start_s=(), failures=(), scaling=None, horizon_s=None)
    limits = fleet.replica.limits.model_copy(update={"policy": "fcfs"})
    fleet = replace(fleet, replica=replace(fleet.replica, limits=limits))
    result = run(replace(scenario, fleet=fleet), engine)
    assert result.done.all()
    for adapter in np.unique(result.adapter):
        assert np.all(np.diff(result.scheduled_s[result.adapter == adapter]) >= 0)
