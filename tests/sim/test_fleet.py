"""Routers, late starts, failures, horizon, loads, refusals, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.sim.draws import Draws, uniform, uniforms
from advisor.sim.fleet import Engine, simulate_fleet
from advisor.sim.result import CAUSES
from advisor.sim.router import Routing
from advisor.sim.setup import AdapterLoads, Failure, FleetSetup, ReplicaSetup, SpecSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import Trace
from tests.sim.clocks import AffineClock

NOTHING = AffineClock(0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SECOND_STEPS = replace(NOTHING, step_s=1.0)
ENGINES: tuple[Engine, ...] = ("plain", "skipping")
LOAD, PREEMPTED = CAUSES.index("load"), CAUSES.index("preempted")


def trace(*requests: tuple[float, int, int, int]) -> Trace:
    """Requests as (arrival, prompt, output, adapter)."""
    arrival, prompt, output, adapter = (np.asarray(column) for column in zip(*requests, strict=True))
    return Trace(arrival.astype(np.float64), prompt, output, adapter, tuple("abcd"))


def fleet(**limits: object) -> FleetSetup:
    given = {"max_loras": 2, "max_cpu_loras": 2, "max_lora_rank": 8, **limits}
    loads = AdapterLoads((0.5,) * 4, (0.25,) * 4)
    return FleetSetup(ReplicaSetup(EngineLimits.model_validate(given), SECOND_STEPS, 1000, loads))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_blocking_load_stalls_the_whole_batch_inside_the_step(engine: Engine) -> None:
    result = simulate_fleet(fleet(), trace((0, 4, 4, -1), (0.5, 4, 1, 0)), engine=engine)
    np.testing.assert_allclose(result.first_token_s, [1.0, 2.75])
    np.testing.assert_allclose(result.last_token_s, [4.75, 2.75])
    np.testing.assert_allclose(result.decode_causes_s[0, LOAD], 0.75)
    np.testing.assert_allclose(result.ttft_causes_s[1, LOAD], 0.75)
    assert (result.loads_from_disk, result.loads_to_slot, result.load_s) == (1, 1, 0.75)


@pytest.mark.parametrize("engine", ENGINES)
def test_preloaded_adapters_are_where_an_engine_that_loads_them_at_start_has_them(engine: Engine) -> None:
    cold = fleet(max_cpu_loras=3)
    warm = replace(cold, replica=replace(cold.replica, preloaded=(3, 2, 1, 0)))  # 3 is evicted again
    requests = trace((0, 4, 1, 0), (10, 4, 1, 1), (20, 4, 1, 2), (30, 4, 1, 3))
    result = simulate_fleet(warm, requests, engine=engine)
    np.testing.assert_allclose(result.ttft_causes_s[:, LOAD], [0.0, 0.0, 0.25, 0.75])
    assert (result.loads_from_disk, result.loads_to_slot) == (1, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_overlapped_load_lets_the_batch_go_on(engine: Engine) -> None:
    requests = trace((0, 4, 4, -1), (0.5, 4, 1, 0), (0.6, 4, 1, 1))
    result = simulate_fleet(fleet(load_mode="overlapped"), requests, engine=engine)
    # loads begin at 1; a: disk to 1.5, slot to 1.75; b: disk to 2.0, slot to 2.25; seen at 2 and 3
    np.testing.assert_allclose(result.last_token_s, [4.0, 3.0, 4.0])
    np.testing.assert_allclose(result.ttft_causes_s[:, LOAD], [0.0, 0.75, 1.25])


@pytest.mark.parametrize("engine", ENGINES)
def test_each_hop_carries_one_adapter_at_a_time(engine: Engine) -> None:
    setup = fleet(load_mode="overlapped")
    slow_link = replace(setup, replica=replace(setup.replica, loads=AdapterLoads((0.25,) * 4, (0.5,) * 4)))
    result = simulate_fleet(slow_link, trace((0, 4, 1, 0), (0, 4, 1, 1)), engine=engine)
    # a: disk to 0.25, slot to 0.75; b: disk to 0.5, then waits for the link, slot to 1.25
    np.testing.assert_allclose(result.ttft_causes_s[:, LOAD], [0.75, 1.25])
    np.testing.assert_allclose(result.first_token_s, [1.75, 2.75])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_urgent_request_is_not_kept_out_by_a_long_one_that_does_not_fit(engine: Engine) -> None:
    setup = fleet(policy="priority", kv_block_tokens=4)
    small = replace(setup, replica=replace(setup.replica, kv_blocks=12))
    requests = replace(
        trace((0, 4, 20, -1), (0.5, 44, 1, -1), (3.5, 4, 1, -1)),
        priority=np.asarray([1, 1, 0], dtype=np.int64),
    )
    assert simulate_fleet(small, requests, engine=engine).scheduled_s[2] == 4.0


@pytest.mark.parametrize("engine", ENGINES)
def test_with_asynchronous_scheduling_an_arrival_joins_one_step_later(engine: Engine) -> None:
    requests = trace((0, 4, 6, -1), (0.5, 4, 1, -1))
    assert simulate_fleet(fleet(), requests, engine=engine).scheduled_s[1] == 1.0
    assert simulate_fleet(fleet(async_scheduling=True), requests, engine=engine).scheduled_s[1] == 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dead_replica_loses_its_step_and_its_requests_compute_again_elsewhere(engine: Engine) -> None:
    two = replace(fleet(), replicas=2, failures=(Failure(0, 2.5, math.inf),))
    result = simulate_fleet(two, trace((0, 4, 4, -1), (0.1, 4, 9, -1)), engine=engine)
    # request 0 has two tokens at 2.5, joins replica 1 at its step's end, 3.1, and emits its third at 4.1
    np.testing.assert_allclose(result.last_token_s, [5.1, 9.1])
    assert result.replica.tolist() == [1, 1]
    assert result.preemptions.tolist() == [1, 0]
    np.testing.assert_allclose(result.decode_causes_s[0, PREEMPTED], 3.1 - 2.0)
    gaps = np.sort(np.repeat(result.itl_s, result.itl_weight))
    np.testing.assert_allclose(gaps[-1], 4.1 - 2.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_wait_for_a_replica_that_is_not_there_yet(engine: Engine) -> None:
    late = replace(fleet(), start_s=(3.0,))
    result = simulate_fleet(late, trace((0, 4, 1, -1), (1, 4, 1, -1)), engine=engine)
    np.testing.assert_allclose(result.first_token_s, [4.0, 4.0])
    gone = replace(fleet(), failures=(Failure(0, 0.5, math.inf),))
    result = simulate_fleet(gone, trace((0, 4, 1, -1), (1, 4, 1, -1)), engine=engine)
    assert not result.done.any()
    assert "2 requests found no live replica" in result.notes[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_horizon_counts_what_is_unfinished(engine: Engine) -> None:
    short = replace(fleet(), horizon_s=3.5)
    result = simulate_fleet(short, trace((0, 4, 9, -1), (2.7, 4, 1, -1)), engine=engine)
    assert result.emitted_tokens.tolist() == [3, 0]
    assert (result.end_s, result.steps) == (3.5, 3)
    assert np.isnan(result.decode_causes_s[0]).all()
    assert result.scheduled_s[1] == 3.0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_frontend_is_added_outside_the_engine(engine: Engine) -> None:
    setup = fleet()
    ahead = replace(setup, replica=replace(setup.replica, frontend_s=0.25, frontend_per_prompt_token_s=0.125))
    result = simulate_fleet(ahead, trace((0, 4, 2, -1)), engine=engine)
    assert (result.ttft_s[0], result.e2e_s[0], result.ttft_causes_s[0, 0]) == (1.75, 2.75, 0.75)


def test_routers() -> None:
    live, outstanding = [True, True, False], [5, 2, 0]
    turns = Routing("round-robin", 3)
    assert [turns.pick(-1, live, outstanding) for _ in range(3)] == [0, 1, 0]
    assert Routing("least-outstanding", 3).pick(7, live, outstanding) == 1
    affinity = Routing("adapter-affinity", 3)
    assert affinity.pick(3, live, outstanding) == 0  # at home
    assert affinity.pick(2, live, outstanding) == 1  # home is dead
    assert affinity.pick(3, live, [40, 2, 0]) == 1  # 40 > 1.5 · 21 + 8: home is overloaded
    assert affinity.pick(-1, live, outstanding) == 1
    assert affinity.pick(0, [False] * 3, outstanding) == -1


def test_verify_steps_are_drawn_as_the_marginals_say_and_alike_in_both_forms() -> None:
    requests = np.repeat(np.arange(200), 100)
    steps = np.tile(np.arange(100), 200)
    luck = uniforms(5, requests, steps)
    assert luck[12_345] == uniform(5, 123, 45)
    marginals = (0.7, 0.4, 0.1)
    draws = Draws(SpecSetup(3, Acceptance(marginals=marginals), Acceptance(marginals=(1.0, 1.0, 0.0))), 5)
    tokens = draws.many(requests, np.full(len(requests), -1), steps, 3)
    assert tokens[12_345] == draws.tokens(123, -1, 45, 3)
    for place, marginal in enumerate(marginals, start=1):
        share = np.mean(tokens > place)
        assert abs(share - marginal) < 4 * math.sqrt(marginal * (1 - marginal) / len(tokens))
    assert set(draws.many(requests, np.zeros(len(requests), dtype=np.int64), steps, 3).tolist()) == {3}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"kv_blocks": 1},
            "request 1: prompt_tokens + output_tokens is 40, 3 KV blocks; allowed: at most the 1",
        ),
        ({"loads": AdapterLoads((0.1,), (0.1,))}, "loads has 1 adapters"),
        ({"limits": EngineLimits()}, "request 1: adapter is 'b'; allowed: none, since max_loras is 0"),
        (
            {"speculation": SpecSetup(9, Acceptance(marginals=(0.5,)), Acceptance(marginals=(0.5,)))},
            "max_num_batched_tokens is 8; allowed: at least 10",
        ),
    ],
)
def test_what_can_never_run_is_refused_with_the_bound(change: dict[str, object], words: str) -> None:
    setup = fleet(max_num_batched_tokens=8)
    broken = replace(setup, replica=replace(setup.replica, **change))  # type: ignore[arg-type]  # any field
    with pytest.raises(InputError) as error:
        simulate_fleet(broken, trace((0, 4, 1, -1), (0, 30, 10, 1)))
    assert words in str(error.value)


def test_all_problems_of_a_fleet_are_named_at_once() -> None:
    broken = replace(fleet(), start_s=(0.0, math.nan), failures=(Failure(3, math.inf, -1.0),), horizon_s=0.0)
    with pytest.raises(InputError) as error:
        simulate_fleet(broken, trace((0, 4, 1, -1)))
    assert len(error.value.sentences) == 6


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_trace_is_a_run_without_requests(engine: Engine) -> None:
    none = np.zeros(0, dtype=np.int64)
    result = simulate_fleet(fleet(), Trace(np.zeros(0), none, none, none), engine=engine)
    assert (len(result.ttft_s), result.steps, result.end_s) == (0, 0, 0.0)
