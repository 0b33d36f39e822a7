"""The closed loop in simulated time: against the simulator, and against what must be."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.sim.fleet import simulate_fleet
from advisor.sim.setup import FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import BASE, Trace
from calibration.closedloop import Clients, LoopTimes, run_closed_loop
from tests.calibration.test_steady import PROFILE, TERMS

LIMITS = EngineLimits(max_num_seqs=8, max_num_batched_tokens=512)
RNG = np.random.default_rng(3)
PROMPTS = RNG.integers(20, 700, 60).tolist()
OUTPUTS = RNG.integers(1, 80, 60).tolist()


def _loop(concurrency: int, blocks: int = 4000, limits: EngineLimits = LIMITS, **client: float) -> LoopTimes:
    clients = Clients(concurrency, PROMPTS, OUTPUTS, **client)
    return run_closed_loop(clients, limits, ProfileClock(PROFILE, TERMS, limits), blocks)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("blocks", [4000, 120])
def test_the_simulator_agrees_when_told_when_each_request_was_sent(blocks: int, asynchronous: bool) -> None:
    limits = LIMITS.model_copy(update={"async_scheduling": asynchronous})
    times = _loop(8, blocks, limits, frontend_s=1e-4)
    trace = Trace(
        arrival_s=times.sent_s + 1e-4,
        prompt_tokens=np.asarray(PROMPTS),
        output_tokens=np.asarray(OUTPUTS),
        adapter=np.full(len(PROMPTS), BASE),
        name="as the loop sent them",
    )
    clock = ProfileClock(PROFILE, TERMS, limits)
    result = simulate_fleet(FleetSetup(replica=ReplicaSetup(limits, clock, blocks)), trace)
    assert (result.preemptions.sum() > 0) == (blocks == 120)
    assert times.ttft_s == pytest.approx(result.ttft_s + 1e-4, rel=1e-9)
    assert times.tpot_s == pytest.approx(result.tpot_s, rel=1e-9)


def test_one_client_waits_for_nobody() -> None:
    """Its prompt of 200 tokens at 10 ms and 10 us a token beyond the first, after the frontend."""
    clients = Clients(1, [200, 200], [3, 3], frontend_s=0.004, frontend_per_prompt_token_s=1e-6)
    times = run_closed_loop(clients, LIMITS, ProfileClock(PROFILE, TERMS, LIMITS), 400)
    step = 0.010 + 199 * 1e-5 + PROFILE.host.fixed_s
    assert times.ttft_s == pytest.approx([step + 0.0042] * 2, rel=0.1)
    assert times.ttft_s[0] == pytest.approx(times.ttft_s[1], rel=1e-9)


def test_prompts_are_read_one_by_one() -> None:
    slow, fast = _loop(8, frontend_per_prompt_token_s=1e-4), _loop(8)
    first = [sum(PROMPTS[: place + 1]) * 1e-4 for place in range(8)]
    assert all(s >= wait for s, wait in zip(slow.ttft_s[:8], first, strict=True))
    assert slow.end_s > fast.end_s


def test_an_asynchronous_loop_sees_a_request_a_step_later() -> None:
    late = _loop(8, limits=LIMITS.model_copy(update={"async_scheduling": True}))
    assert np.mean(late.ttft_s[8:]) > np.mean(_loop(8).ttft_s[8:]) + 0.005
