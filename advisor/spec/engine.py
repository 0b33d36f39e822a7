"""A serving engine: what it can do, its defaults, and the limits that a deployment sets."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from advisor.spec.device import Device
from advisor.spec.spec import Spec

Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Batching = Literal["mixed", "prompts_first", "one_adapter"]
_BATCHING: Final = (
    "Who shares a step. mixed: prompts and decodes of all adapters (vLLM). prompts_first: prompts have steps "
    "of their own while decodes wait (SGLang). one_adapter: as mixed, of one adapter or of the base alone; "
    "who waits for another one holds a seat (llama.cpp)."
)


class SpecMethod(Spec):
    """One way to draft, as an engine supports it."""

    method: Literal["ngram", "draft_model", "eagle3", "mtp"] = Field(description="How drafts are made.")
    with_lora: bool = Field(description="Whether it runs together with unmerged adapters.")
    keeps_async_scheduling: bool = Field(
        True, description="False: drafting on the CPU makes the engine serial."
    )
    max_batch: int | None = Field(
        None, ge=1, description="The engine stops drafting above this many sequences."
    )
    by_batch: bool = Field(False, description="Draft lengths may be set by the requests in a step.")
    note: str = Field("", description="What to know about it together with adapters.")


class MemoryTier(Spec):
    """Defaults that hold on devices with at least this much memory."""

    min_memory_gib: float = Field(ge=0, description="Device memory from which the tier holds.")
    except_devices: tuple[str, ...] = Field(
        (), description="Beginnings of device names that the tier leaves out."
    )
    max_num_seqs: int = Field(ge=1, description="Most sequences in a batch.")
    max_num_batched_tokens: int = Field(ge=1, description="Token budget of a step.")


class EngineCapability(Spec):
    """One engine version: scheduling rules, LoRA rules, defaults. A row of the catalog."""

    name: str = Field(min_length=1, description="vllm, sglang, ...")
    version: str = Field(min_length=1, description="As the engine calls it.")
    multi_lora: bool = Field(description="Serves several unmerged adapters from one copy of the base.")
    mixes_adapters: bool = Field(True, description="Requests of different adapters share a batch.")
    loads_at_run_time: bool = Field(True, description="Adapters may come and go while it serves.")
    load_mode: Literal["blocking", "overlapped"] = Field(
        description="blocking: a load stalls the whole batch; overlapped: only its own requests wait."
    )
    batching: Batching = Field("mixed", description=_BATCHING)
    pads_to_max_rank: bool = Field(description="Slots and kernels cost what the largest allowed rank costs.")
    lora_ranks: tuple[int, ...] = Field(description="Values that max_lora_rank may take; empty means any.")
    async_scheduling: bool = Field(
        description="Host work overlaps the device; an arrival joins a step later."
    )
    serves_dora: bool = Field(description="Unmerged DoRA adapters.")
    serves_rslora: bool = Field(description="Reads use_rslora and scales by alpha / sqrt(r).")
    serves_modules_to_save: bool = Field(description="Unmerged adapters with fully trained modules.")
    kv_block_tokens: int = Field(ge=1, description="Tokens of one block of the KV cache.")
    memory_share: float = Field(
        gt=0, le=1, description="Default share of the device memory that the engine takes."
    )
    default_max_num_seqs: int = Field(ge=1, description="Where no tier of defaults_by_memory fits.")
    default_max_num_batched_tokens: int = Field(ge=1, description="Where no tier of defaults_by_memory fits.")
    defaults_by_memory: tuple[MemoryTier, ...] = Field(
        (), description="Largest memory first; the first that fits."
    )
    speculation: tuple[SpecMethod, ...] = Field(description="Ways to draft that it has.")
    quantisations: tuple[str, ...] = Field(
        description="Weight types that may be served, such as bfloat16, fp8."
    )
    note: str = Field("", description="What was assumed, and what a user should know.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)

    def default_limits(self, device: Device) -> tuple[int, int]:
        """Return the engine's own (max_num_seqs, max_num_batched_tokens) on a device."""
        memory_gib = device.memory_bytes / 2.0**30
        for tier in self.defaults_by_memory:
            if memory_gib >= tier.min_memory_gib and not device.name.startswith(tier.except_devices):
                return tier.max_num_seqs, tier.max_num_batched_tokens
        return self.default_max_num_seqs, self.default_max_num_batched_tokens

    def max_lora_rank(self, rank: int) -> int | None:
        """Return the smallest max_lora_rank that holds adapters of this rank; None if there is none."""
        if not self.lora_ranks:
            return rank
        return next((allowed for allowed in sorted(self.lora_ranks) if allowed >= rank), None)

    def method(self, name: str) -> SpecMethod | None:
        """Return how the engine drafts by this method; None if it does not."""
        return next((row for row in self.speculation if row.method == name), None)


class EngineLimits(Spec):
    """Knobs of one running engine; read by the scheduler of simulator and live engine. Names are vLLM's."""

    max_num_seqs: int = Field(256, ge=1, le=65536, description="Most sequences of one step.")
    max_num_batched_tokens: int = Field(2048, ge=1, le=1_000_000, description="Most new tokens of one step.")
    max_loras: int = Field(
        0, ge=0, le=100_000, description="Distinct adapters in one batch = device slots; 0: LoRA off."
    )
    max_cpu_loras: int = Field(0, ge=0, le=1_000_000, description="CPU cache; at least max_loras.")
    max_lora_rank: int = Field(0, ge=0, le=512, description="Slots and kernels are padded to this rank.")
    kv_block_tokens: int = Field(16, ge=1, le=4096)
    prefix_caching: bool = True
    policy: Literal["fcfs", "priority"] = "fcfs"
    long_prefill_token_threshold: int = Field(
        0, ge=0, description="Largest prompt chunk of one request a step; 0: none."
    )
    load_mode: Literal["blocking", "overlapped"] = "blocking"
    async_scheduling: bool = False
    batching: Batching = Field("mixed", description=_BATCHING)

    @model_validator(mode="after")
    def _consistent(self) -> EngineLimits:
        if self.max_cpu_loras < self.max_loras:
            raise ValueError(
                f"max_cpu_loras ({self.max_cpu_loras}) must be at least max_loras ({self.max_loras})"
            )
        if self.max_loras and not self.max_lora_rank:
            raise ValueError("max_lora_rank must be set where max_loras is")
        if self.batching == "prompts_first" and self.long_prefill_token_threshold:
            raise ValueError("batching prompts_first has no long_prefill_token_threshold; leave it 0")
        if self.batching == "one_adapter" and self.load_mode != "blocking":
            raise ValueError("batching one_adapter has all adapters in memory; load_mode must be blocking")
        return self


class EngineWish(Spec):
    """The engine the user wants, and any knob that must not be searched."""

    name: Literal["vllm", "sglang", "lorax", "tgi", "llama.cpp", "trt-llm"] = Field(
        "vllm", description="The engine that you run, or would run."
    )
    version: str | None = Field(None, description="As the catalog has it; the newest there if left out.")
    max_loras: Tokens | None = Field(None, description="Adapter slots of one replica; searched if left out.")
    max_cpu_loras: Tokens | None = Field(
        None, description="Adapters kept in host memory; searched if left out."
    )
    max_num_seqs: Tokens | None = Field(None, description="Most sequences in a batch; searched if left out.")
    max_num_batched_tokens: Tokens | None = Field(
        None, description="Token budget of a step; searched if left out."
    )
    memory_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="gpu_memory_utilization; the engine's default if left out."
    )
    prefix_caching: bool = Field(True, description="Reuse the KV cache of shared prompt prefixes.")

    @model_validator(mode="after")
    def _agree(self) -> EngineWish:
        slots, cache = self.max_loras, self.max_cpu_loras
        if slots is not None and cache is not None and cache < slots:
            raise ValueError(
                f"max_cpu_loras ({cache}) must be at least max_loras ({slots}): what is in a slot is in host "
                "memory, too; raise the one or lower the other"
            )
        seats, budget = self.max_num_seqs, self.max_num_batched_tokens
        if seats is not None and budget is not None and budget < seats:
            raise ValueError(
                f"max_num_batched_tokens ({budget}) must be at least max_num_seqs ({seats}): each sequence "
                "of a step takes a token; raise the one or lower the other"
            )
        return self
