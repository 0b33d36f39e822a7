"""What must hold by theory: Lindley, Pollaczek-Khinchine, M/D/1, D/D/1, Little, invariances, monotonicity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from advisor.sim.fleet import Engine, simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.trace.trace import Trace
from tests.sim.clocks import AffineClock
from tests.sim.scenarios import Scenario, scenarios

QUEUE = CAUSES.index("queue")


def one_seat(step_s: float, token_s: float) -> FleetSetup:
    """One request at a time; a one-token answer takes step + token · prompt seconds."""
    none = AffineClock(0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    limits = EngineLimits(max_num_seqs=1, max_num_batched_tokens=100_000)
    return FleetSetup(ReplicaSetup(limits, replace(none, step_s=step_s, token_s=token_s), kv_blocks=100_000))


def one_token_answers(arrival_s: np.ndarray, prompt_tokens: np.ndarray) -> Trace:
    count = len(arrival_s)
    return Trace(arrival_s, prompt_tokens, np.ones(count, dtype=np.int64), np.full(count, -1))


def wait_s(result: SimResult) -> np.ndarray:
    return result.scheduled_s - result.arrival_s


@pytest.mark.parametrize("engine", ["skipping", "plain"])
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), load=st.floats(0.2, 1.5))
def test_one_seat_waits_as_lindley_says(engine: Engine, seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    prompt = rng.integers(1, 2000, 200)
    service_s = 3e-3 + 1e-4 * prompt
    arrival_s = np.cumsum(rng.exponential(service_s.mean() / load, 200))
    result = simulate_fleet(one_seat(3e-3, 1e-4), one_token_answers(arrival_s, prompt), engine=engine)
    x = np.concatenate(([0.0], np.cumsum(service_s[:-1] - np.diff(arrival_s))))
    np.testing.assert_allclose(wait_s(result), x - np.minimum.accumulate(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.ttft_causes_s[:, QUEUE], wait_s(result), rtol=1e-9, atol=1e-9)


def mean_waits_s(prompts: np.ndarray, load: float, runs: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Mean waits of independent runs, a tenth left out at both ends; and the service times."""
    service_s = 3e-3 + 1e-4 * prompts
    means = []
    for run in range(runs):
        rng = np.random.default_rng(run)
        prompt = rng.choice(prompts, 20_000)
        arrival_s = np.cumsum(rng.exponential(service_s.mean() / load, 20_000))
        result = simulate_fleet(one_seat(3e-3, 1e-4), one_token_answers(arrival_s, prompt))
        means.append(wait_s(result)[2_000:-2_000].mean())
    return np.asarray(means), service_s


@pytest.mark.parametrize(
    ("prompts", "load"),
    [(np.asarray([500]), 0.7), (np.asarray([500]), 0.85), (np.asarray([10, 200, 3000]), 0.6)],
    ids=["M/D/1 at 0.7", "M/D/1 at 0.85", "M/G/1 at 0.6"],
)
def test_poisson_arrivals_wait_as_pollaczek_and_khinchine_say(prompts: np.ndarray, load: float) -> None:
    means, service_s = mean_waits_s(prompts, load)
    rate = load / service_s.mean()
    expected_s = rate * (service_s**2).mean() / (2 * (1 - load))
    low, high = stats.t.interval(0.999, len(means) - 1, means.mean(), stats.sem(means))
    assert low <= expected_s <= high
    assert high - low < 0.2 * expected_s  # or the test could not fail


def test_regular_arrivals_below_capacity_never_wait() -> None:
    arrival_s = 0.06 * np.arange(500)
    result = simulate_fleet(one_seat(3e-3, 1e-4), one_token_answers(arrival_s, np.full(500, 500)))
    np.testing.assert_allclose(wait_s(result), 0.0, atol=1e-12)
    np.testing.assert_allclose(result.ttft_s, 0.053, rtol=1e-9)


@settings(max_examples=40)
@given(scenarios())
def test_littles_law_holds_in_every_run(scenario: Scenario) -> None:
    """∫ requests in the system dt = Σ time in the system."""
    replica = scenario.fleet.replica
    replica = replace(
        replica,
        limits=replica.limits.model_copy(
            update={"async_scheduling": False}
        ),  # the scheduler sees arrivals at once
        frontend_s=0.0,
        frontend_per_prompt_token_s=0.0,
    )
    fleet = replace(scenario.fleet, replica=replica, horizon_s=None, failures=(), start_s=())
    result = simulate_fleet(fleet, scenario.trace, seed=scenario.seed, series=True)
    area = 0.0
    for series in result.series:
        gaps_s = np.diff(np.append(series.time_s, result.end_s))
        area += float(((series.running + series.waiting) * gaps_s).sum())
    for arrival_s, index in zip(result.arrival_s, result.replica, strict=True):
        times_s = result.series[index].time_s  # until the next scheduling event it is in neither column
        area += float(times_s[np.searchsorted(times_s, arrival_s)] - arrival_s)
    assert area == pytest.approx(float(result.e2e_s.sum()), rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(scenarios(), st.integers(1, 1000))
def test_shifting_time_shifts_the_result(scenario: Scenario, shift_s: int) -> None:
    # a fleet that scales looks at its load at fixed moments of the clock
    fleet = replace(scenario.fleet, horizon_s=None, failures=(), start_s=(), scaling=None)
    trace = scenario.trace
    here = simulate_fleet(fleet, trace, seed=scenario.seed)
    there = simulate_fleet(fleet, replace(trace, arrival_s=trace.arrival_s + shift_s), seed=scenario.seed)
    np.testing.assert_allclose(there.last_token_s - shift_s, here.last_token_s, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(there.ttft_causes_s, here.ttft_causes_s, rtol=1e-7, atol=1e-7)


@settings(max_examples=60)
@given(scenarios(), st.randoms(use_true_random=False))
def test_renaming_adapters_changes_nothing(scenario: Scenario, random: object) -> None:
    trace, fleet = scenario.trace, scenario.fleet
    count = len(trace.adapters)
    order = list(range(count))
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis' Random
    new_index = np.asarray([*order, -1])  # index -1 is the base
    old_of_new = np.argsort(new_index[:count])
    loads = fleet.replica.loads
    moved = AdapterLoads(
        tuple(loads.disk_to_cpu_s[i] for i in old_of_new), tuple(loads.cpu_to_slot_s[i] for i in old_of_new)
    )
    fleet = replace(fleet, router="least-outstanding")
    preloaded = tuple(int(new_index[i]) for i in fleet.replica.preloaded)
    spec = fleet.replica.speculation
    if spec is not None:
        spec = replace(spec, own=tuple((int(new_index[index]), one) for index, one in spec.own))
    replica = replace(fleet.replica, loads=moved, preloaded=preloaded, speculation=spec)
    renamed = replace(fleet, replica=replica)
    here = simulate_fleet(fleet, trace, seed=scenario.seed)
    there = simulate_fleet(renamed, replace(trace, adapter=new_index[trace.adapter]), seed=scenario.seed)
    assert there.last_token_s.tobytes() == here.last_token_s.tobytes()
    assert there.ttft_causes_s.tobytes() == here.ttft_causes_s.tobytes()


@settings(max_examples=60)
@given(scenarios())
def test_merged_is_base_to_the_last_bit(scenario: Scenario) -> None:
    """Requests to merged weights are requests to a base: adapters that nobody asks for cost nothing here."""
    trace = replace(scenario.trace, adapter=np.full(len(scenario.trace), -1))
    fleet = scenario.fleet
    plain = fleet.replica.limits.model_copy(update={"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0})
    without = replace(
        fleet, replica=replace(fleet.replica, limits=plain, loads=AdapterLoads((), ()), preloaded=())
    )
    base = simulate_fleet(without, replace(trace, adapters=()), seed=scenario.seed)
    merged = simulate_fleet(fleet, trace, seed=scenario.seed)
    assert merged.last_token_s.tobytes() == base.last_token_s.tobytes()
    assert merged.ttft_causes_s.tobytes() == base.ttft_causes_s.tobytes()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.0, 0.99))
def test_more_load_bandwidth_never_hurts_at_fixed_batches(seed: int, faster: float) -> None:
    """One seat, blocking loads: the order of service cannot change, so every request ends no later."""
    rng = np.random.default_rng(seed)
    trace = Trace(
        np.cumsum(rng.exponential(0.05, 60)),
        rng.integers(1, 50, 60),
        rng.integers(1, 10, 60),
        rng.integers(0, 6, 60),
        tuple("abcdef"),
    )
    limits = EngineLimits(max_num_seqs=1, max_loras=2, max_cpu_loras=3, max_lora_rank=8)
    slow = AdapterLoads((0.1,) * 6, (0.02,) * 6)
    fast = AdapterLoads((0.1 * faster,) * 6, (0.02 * faster,) * 6)
    replica = ReplicaSetup(limits, AffineClock(), 1000, slow)
    before = simulate_fleet(FleetSetup(replica), trace)
    after = simulate_fleet(FleetSetup(replace(replica, loads=fast)), trace)
    assert np.all(after.last_token_s <= before.last_token_s + 1e-12)
    assert after.loads_from_disk == before.loads_from_disk
    assert before.loads_from_disk > 0
