"""The skipping engine against the plain one, over random scenarios with every feature on."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings

from advisor.errors import InputError
from advisor.sim.fleet import simulate_fleet
from advisor.sim.setup import FleetSetup, ReplicaSetup, SpecSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import Trace
from tests.sim.agreement import COLUMNS, assert_engines_agree
from tests.sim.clocks import AffineClock
from tests.sim.scenarios import Scenario, scenarios


@settings(max_examples=300)
@given(scenarios())
def test_both_engines_give_the_same_times_and_causes(scenario: Scenario) -> None:
    assert_engines_agree(scenario)


@settings(max_examples=100)
@given(scenarios())
def test_causes_add_up_and_requests_are_conserved(scenario: Scenario) -> None:
    result = simulate_fleet(scenario.fleet, scenario.trace, seed=scenario.seed)
    np.testing.assert_allclose(result.ttft_causes_s.sum(axis=1), result.ttft_s, rtol=1e-9, atol=1e-10)
    decode_s = result.last_token_s - result.first_token_s
    np.testing.assert_allclose(result.decode_causes_s.sum(axis=1), decode_s, rtol=1e-9, atol=1e-10)
    for causes in (result.ttft_causes_s, result.decode_causes_s):
        assert np.nanmin(causes, initial=0.0) > -1e-9
    assert np.array_equal(result.emitted_tokens[result.done], result.output_tokens[result.done])
    unfinished = ~result.done
    assert np.all(result.emitted_tokens[unfinished] < result.output_tokens[unfinished])
    assert np.all((result.emitted_tokens > 0) == np.isfinite(result.first_token_s))
    may_end = scenario.fleet.horizon_s is None
    assert result.done.all() or not may_end
    assert np.all(result.cached_tokens < result.prompt_tokens)


@settings(max_examples=60)
@given(scenarios())
def test_the_same_seed_gives_the_same_bytes(scenario: Scenario) -> None:
    one, two = (simulate_fleet(scenario.fleet, scenario.trace, seed=scenario.seed) for _ in range(2))
    for name in (*COLUMNS, "itl_s", "itl_weight"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


def test_engines_agree_when_steps_outrun_the_table_of_verify_steps() -> None:
    """Thousands of steps that hold prompt chunks alone: the table of gains is left behind and begun anew."""
    count = 1000
    trace = Trace(
        arrival_s=np.arange(count, dtype=np.float64) * 5.0,
        prompt_tokens=np.full(count, 40),
        output_tokens=np.where(np.arange(count) < count - 1, 1, 50),
        adapter=np.full(count, -1),
    )
    half = Acceptance(marginals=(0.5,))
    limits = EngineLimits(max_num_seqs=2, max_num_batched_tokens=8)
    replica = ReplicaSetup(limits, AffineClock(), 1000, speculation=SpecSetup(1, half, half))
    plain, skipping = (simulate_fleet(FleetSetup(replica), trace, engine=e) for e in ("plain", "skipping"))
    assert plain.steps > 4096
    np.testing.assert_allclose(skipping.last_token_s, plain.last_token_s, rtol=1e-9)


@pytest.mark.parametrize(
    ("schedule", "batching", "words"),
    [
        (((2, 1),), "mixed", "begin at (2,); allowed: rising, from 1"),
        (((1, 1), (1, 0)), "mixed", "begin at (1, 1); allowed: rising, from 1"),
        (((1, 3),), "mixed", "by batch are (3,); allowed: 0 to 2"),
        (((1, 1),), "prompts_first", "allowed: one length, as engines that compute prompts first"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(
    schedule: tuple[tuple[int, int], ...], batching: str, words: str
) -> None:
    half = Acceptance(marginals=(0.5,))
    limits = EngineLimits(batching=batching)  # type: ignore[arg-type]  # one of the words
    replica = ReplicaSetup(
        limits, AffineClock(), 100, speculation=SpecSetup(2, half, half, schedule=schedule)
    )
    trace = Trace(np.zeros(1), np.ones(1, dtype=int), np.ones(1, dtype=int), np.full(1, -1))
    with pytest.raises(InputError, match=re.escape(words)):
        simulate_fleet(FleetSetup(replica), trace)


@pytest.mark.parametrize("seed", range(40))
def test_engines_agree_when_draft_lengths_change_and_memory_is_scarce(seed: int) -> None:
    """With blocks of one token: what long drafts have taken stays taken when drafts become short."""
    rng, count = np.random.default_rng(seed), 12
    trace = Trace(
        arrival_s=np.cumsum(rng.exponential(0.03, count)),
        prompt_tokens=rng.integers(1, 12, count),
        output_tokens=rng.integers(1, 30, count),
        adapter=np.full(count, -1),
    )
    accepted = Acceptance(marginals=(0.5, 0.4, 0.3))
    speculation = SpecSetup(3, accepted, accepted, schedule=((1, 3), (2, 0), (3, 3), (4, 1)))
    limits = EngineLimits(max_num_seqs=6, max_num_batched_tokens=40, kv_block_tokens=1, prefix_caching=False)
    blocks = int((trace.prompt_tokens + trace.output_tokens + 2).max()) + int(rng.integers(0, 30))
    replica = ReplicaSetup(limits, AffineClock(), blocks, speculation=speculation)
    plain, skipping = (
        simulate_fleet(FleetSetup(replica), trace, engine=engine, seed=seed)
        for engine in ("plain", "skipping")
    )
    np.testing.assert_allclose(skipping.last_token_s, plain.last_token_s, rtol=1e-9)
    np.testing.assert_array_equal(skipping.preemptions, plain.preemptions)
    np.testing.assert_array_equal(skipping.verify_steps, plain.verify_steps)
