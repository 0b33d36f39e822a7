"""Our vLLM commands, read by its own parser. Opt-in: LORA_ADVISOR_VLLM names a Python that has vLLM."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from advisor.recipe import recipe_of
from advisor.recipe.plan import Places, plan_of
from advisor.recipe.vllm import vllm_arguments
from tests.recipe.answers import answer, question

PYTHON = os.environ.get("LORA_ADVISOR_VLLM", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="LORA_ADVISOR_VLLM names no Python that has vLLM")
PLACES = Places("/m/base", "/m/adapters", "/m/merged", "/m/draft")


def parsed(lines: list[list[str]]) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("vllm_parser.py")
    done = subprocess.run(
        [PYTHON, str(script)],
        input="\n".join(json.dumps(words) for words in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(row[7:]) for row in done.stdout.splitlines() if row.startswith("PARSED ")]


def test_vllm_reads_what_was_simulated_for_every_sized_option() -> None:
    rec, scenario = answer(), question()
    plans = [plan_of(option, scenario, PLACES) for option in rec.options if option.pools]
    assert {plan.option.way for plan in plans} >= {"multi-lora", "merged"}
    lines = [["serve", *vllm_arguments(plan, plan.servers[0])] for plan in plans]
    for plan, read in zip(plans, parsed(lines), strict=True):
        limits = plan.limits
        assert (read["max_num_seqs"], read["max_num_batched_tokens"]) == (
            limits.max_num_seqs,
            limits.max_num_batched_tokens,
        )
        assert read["tensor_parallel_size"] == plan.devices
        assert read["gpu_memory_utilization"] == pytest.approx(plan.option.memory_share)
        assert bool(read["enable_lora"]) == (plan.option.way == "multi-lora")
        if plan.option.way == "multi-lora":
            slots = (read["max_loras"], read["max_cpu_loras"], read["max_lora_rank"])
            assert slots == (limits.max_loras, limits.max_cpu_loras, limits.max_lora_rank)
            assert len(read["lora_modules"]) == len(plan.servers[0].adapters)
        if plan.drafts is not None:
            assert read["speculative_config"]["num_speculative_tokens"] == plan.drafts.draft_length


def test_vllm_reads_draft_lengths_by_batch_size_as_they_were_simulated() -> None:
    option = next(o for o in answer().options if o.pools and o.speculation is not None)
    assert option.speculation is not None
    length = option.speculation.draft_length
    spec = option.speculation.model_copy(update={"schedule": ((1, length), (8, 1), (64, 0))})
    plan = plan_of(option.model_copy(update={"speculation": spec}), question(), PLACES)
    (read,) = parsed([["serve", *vllm_arguments(plan, plan.servers[0])]])
    ranges = read["speculative_config"]["num_speculative_tokens_per_batch_size"]
    assert ranges == [[1, 7, length], [8, 63, 1], [64, plan.limits.max_num_seqs, 0]]


def test_vllm_reads_that_it_shall_quantise() -> None:
    option = next(o for o in answer().options if o.pools and o.way == "multi-lora")
    plan = plan_of(option.model_copy(update={"quantised": True}), question(), PLACES)
    (read,) = parsed([["serve", *vllm_arguments(plan, plan.servers[0])]])
    assert read["quantization"] == "fp8"


def test_vllm_bench_reads_the_load_test() -> None:
    text = recipe_of(answer(), question(), places=PLACES).files["load-test.sh"]
    command = re.search(r"vllm bench serve (.*?)\n;;", text, re.DOTALL)
    assert command
    read = parsed([["bench", *shlex.split(command[1].replace("\\\n", " "))]])[0]
    assert read["request_rate"] == pytest.approx(answer().workload.rate_rps, rel=1e-3)
    assert read["goodput"]
