"""vLLM's command line for one server. tests/recipe/test_vllm_flags.py holds it to vLLM's own parser."""

from __future__ import annotations

import json

from advisor.recipe.plan import PORT, Server, ServingPlan

IMAGE = "vllm/vllm-openai"


def vllm_arguments(plan: ServingPlan, server: Server) -> list[str]:
    """Arguments of `vllm serve` for one replica."""
    limits = plan.limits
    arguments = [server.model, "--served-model-name", server.serves, "--port", str(PORT)]
    arguments += ["--tensor-parallel-size", str(plan.devices)] if plan.devices > 1 else []
    arguments += ["--quantization", "fp8"] if plan.option.quantised else []
    arguments += [
        "--gpu-memory-utilization", f"{plan.option.memory_share:g}",
        "--max-num-seqs", str(limits.max_num_seqs),
        "--max-num-batched-tokens", str(limits.max_num_batched_tokens),
    ]  # fmt: skip
    arguments += ["--enable-prefix-caching" if limits.prefix_caching else "--no-enable-prefix-caching"]
    if limits.policy == "priority":
        arguments += ["--scheduling-policy", "priority"]
    if limits.long_prefill_token_threshold:
        arguments += ["--long-prefill-token-threshold", str(limits.long_prefill_token_threshold)]
    if server.adapters:
        arguments += [
            "--enable-lora",
            "--max-loras", str(limits.max_loras),
            "--max-cpu-loras", str(limits.max_cpu_loras),
            "--max-lora-rank", str(plan.max_lora_rank),
            "--lora-modules", *(f"{name}={path}" for name, path in server.adapters),
        ]  # fmt: skip
    return arguments + _speculation(plan)


def _speculation(plan: ServingPlan) -> list[str]:
    drafts = plan.drafts
    if drafts is None:
        return []
    config: dict[str, object] = {"method": drafts.method, "num_speculative_tokens": drafts.draft_length}
    if drafts.schedule:
        ends = [start - 1 for start, _ in drafts.schedule[1:]] + [plan.limits.max_num_seqs]
        ranges = [[start, end, length] for (start, length), end in zip(drafts.schedule, ends, strict=True)]
        config["num_speculative_tokens_per_batch_size"] = [r for r in ranges if r[0] <= r[1]]
    if drafts.method == "ngram":
        config |= {"prompt_lookup_max": 5, "prompt_lookup_min": 2}
    else:
        config["model"] = plan.places.draft_model
    return ["--speculative-config", json.dumps(config)]
