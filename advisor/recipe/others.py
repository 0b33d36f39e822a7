"""The same server on other engines, where they can be it. Sources: docs/reference/catalog.md, engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from advisor.recipe.plan import PORT, Server, ServingPlan


@dataclass(frozen=True, slots=True)
class OtherEngine:
    """A command of another engine; or, without one, why there is none."""

    engine: str
    command: tuple[str, ...]
    notes: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def other_engines(plan: ServingPlan, server: Server) -> tuple[OtherEngine, ...]:
    """SGLang, LoRAX, TGI and llama.cpp for this server. The figures of the answer do not hold for them."""
    found = (_sglang(plan, server), _lorax(plan, server), _tgi(plan, server), _llama_cpp(plan, server))
    return tuple(
        replace(one, notes=(*one.notes, *_missing(plan, one))) if one.command else one for one in found
    )


def _missing(plan: ServingPlan, one: OtherEngine) -> Iterator[str]:
    """What vLLM's command has and this one has not."""
    if plan.drafts is not None and plan.drafts.schedule and one.engine != "lorax":
        yield "has no draft lengths by batch size: these are the longest, at every batch."
    if plan.option.quantised:
        yield "wants fp8 weights prepared, or a flag of its own for them: it is not in this command."


def _sglang(plan: ServingPlan, server: Server) -> OtherEngine:
    limits, drafts = plan.limits, plan.drafts
    if drafts is not None and drafts.method == "draft_model" and server.adapters:
        return OtherEngine("sglang", (), ("refuses unmerged adapters with a separate draft model.",))
    command = [
        "python", "-m", "sglang.launch_server", "--model-path", server.model,
        "--served-model-name", server.serves, "--port", str(PORT), "--tp-size", str(plan.devices),
        "--max-running-requests", str(limits.max_num_seqs),
        "--chunked-prefill-size", str(limits.max_num_batched_tokens),
    ]  # fmt: skip
    notes = []
    if server.adapters:
        command += [
            "--enable-lora", "--max-loras-per-batch", str(limits.max_loras + 1),
            "--max-loaded-loras", str(max(limits.max_cpu_loras, limits.max_loras + 1)),
            "--max-lora-rank", str(plan.max_lora_rank),
            "--lora-paths", *(f"{name}={path}" for name, path in server.adapters),
        ]  # fmt: skip
        notes.append(
            "requests name base:adapter; use_rslora, rank_pattern and alpha_pattern of an "
            "adapter_config.json are not read: multiply lora_alpha by sqrt(r) for an rsLoRA adapter."
        )
    if drafts is not None:
        names = {"ngram": "NGRAM", "draft_model": "STANDALONE", "eagle3": "EAGLE3"}
        command += ["--speculative-algorithm", names[drafts.method]]
        command += ["--speculative-num-draft-tokens", str(drafts.draft_length + 1)]
        if drafts.method != "ngram":
            command += ["--speculative-draft-model-path", plan.places.draft_model]
            command += ["--speculative-num-steps", str(drafts.draft_length), "--speculative-eagle-topk", "1"]
    return OtherEngine("sglang", tuple(command), tuple(notes))


def _lorax(plan: ServingPlan, server: Server) -> OtherEngine:
    drafts = plan.drafts
    if drafts is not None and drafts.method != "ngram":
        return OtherEngine("lorax", (), (f"does not draft by {drafts.method}.",))
    command = ["lorax-launcher", "--model-id", server.model, "--port", str(PORT)]
    command += ["--num-shard", str(plan.devices)] if plan.devices > 1 else []
    notes = []
    if server.adapters:
        command += ["--adapter-source", "local", "--max-active-adapters", str(plan.limits.max_loras)]
        notes.append(
            "requests name the adapter's folder as model (OpenAI's API) or as adapter_id (/generate)."
        )
    if drafts is not None:
        command += ["--speculative-tokens", str(drafts.draft_length)]
        stops = next((start - 1 for start, length in drafts.schedule if not length), 32)
        command += ["--speculation-max-batch-size", str(stops)]
        notes.append(f"stops drafting above {stops} sequences; up to there it drafts one length.")
    return OtherEngine("lorax", tuple(command), tuple(notes))


def _tgi(plan: ServingPlan, server: Server) -> OtherEngine:
    drafts = plan.drafts
    if drafts is not None and drafts.method != "ngram":
        return OtherEngine("tgi", (), (f"does not draft by {drafts.method}.",))
    command = ["text-generation-launcher", "--model-id", server.model, "--port", str(PORT)]
    command += ["--num-shard", str(plan.devices)] if plan.devices > 1 else []
    command += ["--max-batch-prefill-tokens", str(plan.limits.max_num_batched_tokens)]
    command += ["--speculate", str(drafts.draft_length)] if drafts is not None else []
    notes = ["is in maintenance mode; its own page sends users to vLLM and SGLang."]
    environment: tuple[tuple[str, str], ...] = ()
    if server.adapters:
        environment = (("LORA_ADAPTERS", ",".join(f"{name}={path}" for name, path in server.adapters)),)
        notes.append(
            "requests name the adapter as model (OpenAI's API) or adapter_id (/generate); loaded at start."
        )
    return OtherEngine("tgi", tuple(command), tuple(notes), environment)


def _llama_cpp(plan: ServingPlan, server: Server) -> OtherEngine:
    drafts = plan.drafts
    command = ["llama-server", "-m", f"{server.model}.gguf", "--port", str(PORT)]
    command += ["-b", str(plan.limits.max_num_batched_tokens)]
    command += ["-np", str(plan.limits.max_num_seqs), "--kv-unified"]
    notes = ["wants weights in GGUF, and -c for all sequences together."]
    if server.adapters:
        command += ["--lora", ",".join(f"{path}.gguf" for _, path in server.adapters)]
        command += ["--lora-init-without-apply"]
        notes.append(
            "never batches requests of different adapters, nor an adapter and the base; a request without a "
            "lora field gets all of them, "
            'so send "lora": [{"id": 0, "scale": 1.0}].'
        )
    if drafts is not None and drafts.method == "draft_model":
        command += ["-md", f"{plan.places.draft_model}.gguf", "--spec-draft-n-max", str(drafts.draft_length)]
    elif drafts is not None and drafts.method == "eagle3":
        command += ["--spec-type", "draft-eagle3", "-md", f"{plan.places.draft_model}.gguf"]
        command += ["--spec-draft-n-max", str(drafts.draft_length)]
    elif drafts is not None:
        command += ["--spec-type", "ngram-simple", "--spec-draft-n-max", str(drafts.draft_length)]
    return OtherEngine("llama.cpp", tuple(command), tuple(notes))
