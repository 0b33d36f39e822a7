"""The steady state by algebra: exact where it must be, near the simulation where it guesses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.search.estimate import Demand, batch_limit, distinct, steady_state
from advisor.search.knobs import start_limits
from advisor.search.trial import Plan, Runner, traffic_of
from advisor.spec.engine import EngineLimits
from tests.questions import question
from tests.search.variants import plain_variant


@given(st.integers(1, 200), st.floats(0.1, 500))
def test_distinct_adapters_of_an_even_mix(count: int, batch: float) -> None:
    shares = np.full(count, 1.0 / count)
    expected = count * (1 - (1 - 1 / count) ** batch) if count > 1 else 1.0 if batch >= 1 else None
    if expected is not None:
        assert distinct(shares, batch) == pytest.approx(expected, rel=1e-6)


def test_slots_cap_the_batch() -> None:
    demand = Demand(10.0, 100.0, 100.0, np.full(64, 1 / 64))
    limits = EngineLimits(max_num_seqs=256, max_loras=8, max_cpu_loras=8, max_lora_rank=16)
    capped = batch_limit(demand, limits, 10**9)
    assert distinct(demand.shares, capped) == pytest.approx(8, rel=0.01)
    assert capped < 10


def test_the_guess_is_near_the_simulation_at_moderate_load() -> None:
    asked = question(adapters={"count": 0})
    variant = plain_variant(asked)
    limits = start_limits(asked, variant)
    runner = Runner(asked.scenario.objective, asked.ranks, 0)
    traffic = traffic_of("base", asked.trial, ())
    trial = runner.run(Plan(variant, limits, (1,)), traffic, asked.trial.duration_s)
    demand = Demand(
        asked.trial.rate_rps,
        float(asked.trial.prompt_tokens.mean()),
        float(asked.trial.output_tokens.mean()),
        np.zeros(0),
    )
    state = steady_state(variant.clock(limits), limits, variant.memory(limits).kv_tokens, demand)
    assert state.stable
    assert state.tpot_s == pytest.approx(trial.outcome.tpot.mean_s, rel=0.25)


def test_a_load_beyond_capacity_has_no_steady_state() -> None:
    asked = question(adapters={"count": 0})
    variant = plain_variant(asked)
    limits = start_limits(asked, variant)
    demand = Demand(1000.0, 400.0, 80.0, np.zeros(0))
    assert not steady_state(variant.clock(limits), limits, variant.memory(limits).kv_tokens, demand).stable
