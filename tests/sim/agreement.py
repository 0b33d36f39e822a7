"""What it means that the skipping engine gives what the plain one gives."""

from __future__ import annotations

import numpy as np

from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from tests.sim.scenarios import Scenario

COLUMNS = (
    "scheduled_s",
    "first_token_s",
    "last_token_s",
    "cached_tokens",
    "replica",
    "preemptions",
    "verify_steps",
    "emitted_tokens",
    "ttft_causes_s",
    "decode_causes_s",
)
TOTALS = ("steps", "step_time_s", "loads_from_disk", "loads_to_slot", "load_s", "end_s")


def sorted_gaps_s(result: SimResult) -> np.ndarray:
    return np.sort(np.repeat(result.itl_s, result.itl_weight))


def assert_engines_agree(scenario: Scenario) -> None:
    """Run both engines; every time, cause and count must be the same to rounding."""
    plain = simulate_fleet(scenario.fleet, scenario.trace, seed=scenario.seed, engine="plain")
    skipping = simulate_fleet(scenario.fleet, scenario.trace, seed=scenario.seed)
    for name in (*COLUMNS, *TOTALS):
        np.testing.assert_allclose(
            getattr(skipping, name), getattr(plain, name), rtol=1e-9, atol=1e-10, err_msg=name
        )
    assert [life.replica for life in skipping.lives] == [life.replica for life in plain.lives]
    for name in ("begin_s", "ready_s", "drain_s", "off_s"):
        mine, true = ([getattr(life, name) for life in one.lives] for one in (skipping, plain))
        np.testing.assert_allclose(mine, true, rtol=1e-9, atol=1e-10, err_msg=name)
    gaps, true_gaps = sorted_gaps_s(skipping), sorted_gaps_s(plain)
    assert len(gaps) == len(true_gaps)
    if scenario.fleet.replica.speculation is None:
        np.testing.assert_allclose(gaps, true_gaps, rtol=1e-9, atol=1e-12)
    else:  # within a span of verify steps the durations are laid on a line of the same sum
        np.testing.assert_allclose(gaps.sum(), true_gaps.sum(), rtol=1e-9)
