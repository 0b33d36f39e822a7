"""Who shares a step: prompts first (SGLang) and one adapter a step (llama.cpp), by hand and end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from advisor.catalog.capabilities import engine
from advisor.sim.fleet import simulate_fleet
from advisor.sim.outcome import QUEUE
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, Failure, FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.trace.trace import Trace
from tests.sim.clocks import AffineClock
from tests.sim.test_scheduler import add, parts, scheduler, step

STEP_S, TOKEN_S = 0.01, 1e-5


def simulated(limits: EngineLimits, columns: dict[str, Any], **more: Any) -> tuple[SimResult, SimResult]:
    """Plain and skipping; a step takes STEP_S and TOKEN_S a new token, nothing else."""
    nothing: dict[str, Any] = {name: 0.0 for name in AffineClock.__dataclass_fields__ if name.endswith("_s")}
    clock = AffineClock(**{**nothing, "step_s": STEP_S, "token_s": TOKEN_S})
    adapters = int(max(columns["adapter"])) + 1
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in columns.items()}
    trace = Trace(**arrays, adapters=tuple(f"a{index}" for index in range(adapters)))
    loads = AdapterLoads((0.0,) * adapters, (0.0,) * adapters)
    fleet = FleetSetup(ReplicaSetup(limits, clock, 1000, loads=loads), **more)
    plain, quick = (simulate_fleet(fleet, trace, engine=kind) for kind in ("plain", "skipping"))
    np.testing.assert_allclose(quick.last_token_s, plain.last_token_s, rtol=1e-9)
    np.testing.assert_allclose(quick.decode_causes_s, plain.decode_causes_s, rtol=1e-9, atol=1e-12)
    return plain, quick


def test_decodes_wait_until_no_prompt_can_run_and_prompts_have_the_whole_budget() -> None:
    running = scheduler(max_num_batched_tokens=10, batching="prompts_first")
    add(running, 0, prompt=4)
    assert parts(step(running)) == [(0, 4, 0)]
    add(running, 1, prompt=25)
    assert parts(step(running)) == [(1, 10, 0)]
    assert parts(step(running)) == [(1, 10, 10)]
    add(running, 2, prompt=5)
    assert parts(step(running)) == [(1, 5, 20), (2, 5, 0)]
    assert parts(step(running)) == [(0, 1, 4), (1, 1, 25), (2, 1, 5)]


def test_a_prompt_that_may_not_run_lets_the_decodes_go_on() -> None:
    full = scheduler(max_num_seqs=1, batching="prompts_first")
    add(full, 0, prompt=4)
    step(full)
    add(full, 1, prompt=4)
    assert parts(step(full)) == [(0, 1, 4)]
    barrier = scheduler(kv_blocks=3, batching="prompts_first")
    add(barrier, 0, prompt=8)
    step(barrier)
    add(barrier, 1, prompt=8)
    assert parts(step(barrier)) == [(0, 1, 8)]


def test_the_waiting_of_decodes_is_queueing_and_is_felt_as_one_long_gap() -> None:
    limits = EngineLimits(max_num_seqs=8, max_num_batched_tokens=100, batching="prompts_first")
    columns = {
        "arrival_s": [0.0, 0.025], "prompt_tokens": [10, 250], "output_tokens": [5, 1], "adapter": [-1, -1]
    }  # fmt: skip
    for result in simulated(limits, columns):
        prompts_s = 3 * STEP_S + 250 * TOKEN_S  # chunks of 100, 100, 50
        assert result.decode_causes_s[0, QUEUE] == pytest.approx(prompts_s)
        assert result.decode_causes_s[1].sum() == 0
        gaps_s = np.repeat(result.itl_s, result.itl_weight)
        assert max(gaps_s) == pytest.approx(prompts_s + STEP_S + TOKEN_S)
        assert min(gaps_s) == pytest.approx(STEP_S + TOKEN_S)
        assert len(gaps_s) == 4


def test_mixed_steps_give_the_first_token_later_and_the_others_sooner() -> None:
    columns = {
        "arrival_s": np.arange(40) * 0.05, "prompt_tokens": [400] * 40, "output_tokens": [40] * 40,
        "adapter": [-1] * 40,
    }  # fmt: skip
    means = {}
    for batching in ("mixed", "prompts_first"):
        limits = EngineLimits(max_num_seqs=8, max_num_batched_tokens=200, batching=batching)
        result, _ = simulated(limits, columns)
        tpot_s = (result.last_token_s - result.first_token_s) / 39
        means[batching] = float(np.mean(result.ttft_s)), float(np.mean(tpot_s))
    assert means["prompts_first"][1] > means["mixed"][1]


def test_one_adapter_a_step_and_who_waits_for_another_holds_a_seat() -> None:
    running = scheduler(max_num_seqs=3, max_loras=1, max_cpu_loras=3, batching="one_adapter")
    add(running, 0, prompt=4, output=2, adapter=7)
    add(running, 1, prompt=4, output=2)
    add(running, 2, prompt=4, output=2, adapter=7)
    add(running, 3, prompt=4, output=2, adapter=7)  # a fourth: the base in between has the third seat
    assert [index for index, _, _ in parts(step(running))] == [0, 2]
    assert [index for index, _, _ in parts(step(running))] == [0, 2]
    assert [index for index, _, _ in parts(step(running))] == [1]
    assert [request.index for request in running.waiting] == [3]


def test_two_streams_with_two_adapters_run_one_after_the_other() -> None:
    """As measured on llama.cpp (two streams started together: the second begins when the first has ended)."""
    limits = EngineLimits(
        max_num_seqs=8, max_num_batched_tokens=100, max_loras=1, max_cpu_loras=2, max_lora_rank=8,
        batching="one_adapter",
    )  # fmt: skip
    columns = {
        "arrival_s": [0.0, 1e-4, 2e-4], "prompt_tokens": [10, 10, 10], "output_tokens": [40, 40, 40],
        "adapter": [0, 1, -1],
    }  # fmt: skip
    for result in simulated(limits, columns):
        assert (result.first_token_s[1:] > result.last_token_s[:-1]).all()


def test_a_failure_finds_the_waiting_in_the_order_of_service_whoever_was_seen_last() -> None:
    """Found by hypothesis: under `priority`, whom a step had seen was routed anew in another order."""
    limits = EngineLimits(max_num_seqs=1, max_num_batched_tokens=1, kv_block_tokens=1, policy="priority")
    columns = {
        "arrival_s": 3e-4 * np.arange(1, 14), "prompt_tokens": [4, 1, 3, 5, 2, 1, 1, 1, 2, 5, 5, 5, 4],
        "output_tokens": [46, 49, 34, 5, 29, 35, 33, 41, 28, 53, 28, 11, 25], "adapter": [-1] * 13,
    }  # fmt: skip
    failures = (Failure(2, 0.324, 0.16), Failure(0, 0.0299, 0.0838), Failure(1, 0.0686, 0.0052))
    simulated(limits, columns, replicas=3, failures=failures)


def test_the_catalog_says_whose_rule_is_whose_and_what_cannot_be_together() -> None:
    assert [engine(name).batching for name in ("vllm", "sglang", "llama.cpp")] == [
        "mixed", "prompts_first", "one_adapter"
    ]  # fmt: skip
    assert not engine("llama.cpp").mixes_adapters
    with pytest.raises(ValidationError, match="long_prefill_token_threshold; leave it 0"):
        EngineLimits(batching="prompts_first", long_prefill_token_threshold=5)
    with pytest.raises(ValidationError, match="load_mode must be blocking"):
        EngineLimits(batching="one_adapter", load_mode="overlapped")
