"""The profile: what calibration writes about a device and an engine, and the advisor reads.

One JSON file describes one device with one engine version. `models` holds the step-time terms of
each model and tensor-parallel degree that was measured or derived; `gemm` lets models that were
not measured be predicted from measured shapes of the same device. Every term says where it comes
from (`origin`, `source`, `licence`) and how far off it may be (`interval`, multiplicative).
All times are seconds, all sizes bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field, model_validator

from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin, Spec
from advisor.spec.speculation import Acceptance

NonNegative = Annotated[float, Field(ge=0)]
Column = Annotated[tuple[NonNegative, ...], Field(min_length=1)]


class Provenance(Spec):
    """Where a term comes from. `interval` multiplies the term: (0.9, 1.1) is ± 10 %, about 90 % sure."""

    origin: Origin = Field(description="Best first: measured, fitted, extrapolated, estimated, datasheet.")
    source: str = Field(
        min_length=1, description="Package and version, paper, data set, or the command that measured."
    )
    licence: str = Field("", description="Licence of the source; empty for our own measurements.")
    interval: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (1.0, 1.0), description="Multiplies the term; encloses 1. 0.9 to 1.1 is ± 10 %, about 90 % sure."
    )

    @model_validator(mode="after")
    def _around_one(self) -> Provenance:
        low, high = self.interval
        if not low <= 1.0 <= high:
            raise ValueError(f"interval must enclose 1.0; got {self.interval}")
        return self


class Curve(Provenance):
    """A measured line: y seconds over x, x rising. Between points linear; below the first, the first."""

    x: Column = Field(description="Rising.")
    y_s: Column = Field(description="Seconds, one for each x.")

    @model_validator(mode="after")
    def _table(self) -> Curve:
        if len(self.x) != len(self.y_s) or any(b <= a for a, b in zip(self.x, self.x[1:], strict=False)):
            raise ValueError("x must rise and match y_s one to one")
        return self


class PrefillAttention(Provenance):
    """Seconds of one sequence's prompt chunk, all layers, on a grid (new tokens × context before them)."""

    new_tokens: Column = Field(description="Prompt tokens of the chunk, rising.")
    context_tokens: Column = Field(description="Tokens of the same sequence before the chunk, rising.")
    seconds: tuple[Column, ...] = Field(
        description="One row for each of new_tokens, one column for each of context_tokens."
    )

    @model_validator(mode="after")
    def _grid(self) -> PrefillAttention:
        if len(self.seconds) != len(self.new_tokens) or any(
            len(r) != len(self.context_tokens) for r in self.seconds
        ):
            raise ValueError("seconds must be a grid of new_tokens rows and context_tokens columns")
        return self


class DecodeAttention(Provenance):
    """For S decoding sequences with total context C, all layers: fixed_s(S) + per_context_token_s(S) · C."""

    sequences: Column = Field(description="S, rising.")
    fixed_s: Column = Field(description="One for each S.")
    per_context_token_s: Column = Field(description="One for each S; multiplies the total context C.")

    @model_validator(mode="after")
    def _table(self) -> DecodeAttention:
        if not len(self.sequences) == len(self.fixed_s) == len(self.per_context_token_s):
            raise ValueError("sequences, fixed_s and per_context_token_s must have the same length")
        return self


class MixedAttention(Provenance):
    """What S decoding sequences with total context C add to a step that holds P prompt tokens, all layers.

    fixed_s(P, S) + per_context_token_s(P, S) · C, in place of `attn_decode` for such steps: kernels that
    take prompts and decodes at once do not pack the query heads of a group, and split no sequence.
    """

    prompt_tokens: Column = Field(description="P, rising.")
    sequences: Column = Field(description="S, rising.")
    fixed_s: tuple[Column, ...] = Field(description="One row for each P, one column for each S.")
    per_context_token_s: tuple[Column, ...] = Field(description="The same grid; multiplies C.")

    @model_validator(mode="after")
    def _grid(self) -> MixedAttention:
        for grid in (self.fixed_s, self.per_context_token_s):
            if len(grid) != len(self.prompt_tokens) or any(len(row) != len(self.sequences) for row in grid):
                raise ValueError(
                    "the grids must have a row for each prompt_tokens, a column for each sequences"
                )
        return self


class LoraTerm(Provenance):
    """Seconds that unmerged adapters add to a step that holds at least one adapter token.

    fixed_s + max_loras·(per_slot_s + per_slot_token_s·T + per_slot_prompt_token_s·P)
            + A·(per_adapter_s + weight_bytes(r)·per_weight_byte_s + max_cpu_loras·per_adapter_cached_s)
            + shrink blocks·slot_shrink_block_s + expand blocks·slot_expand_block_s
            + T·per_token_s + T·r·per_token_rank_s + P·per_prompt_token_s
      T  new tokens of the step (all of them: padding rows run too)   P  those of prompt chunks
      A  distinct adapters in the step
      r  padded rank, max_lora_rank     weight_bytes(r)  bytes of one adapter at that rank
    Kernels work in tiles of rank 16: above, per_slot_s and per_adapter_s are multiplied by
    1 + rank_growth·(r/16 - 1) in steps of fewer than 128 tokens. From 128 on vLLM's lora_shrink splits eight
    ways instead of 64, and its tiles hardly count. Blocks: what vLLM's grids launch for max_loras + 1 slots,
    used or not (`advisor.steptime.lora.lora_blocks`).
    `base_step_s` is what a LoRA-enabled engine adds to a step without adapter tokens.
    Source: design.md section 3.
    """

    fixed_s: NonNegative = Field(0.0, description="Launches, once a step.")
    per_slot_s: NonNegative = Field(0.0, description="A reserved slot, used or not.")
    per_slot_token_s: NonNegative = Field(0.0, description="A reserved slot and a token of the step.")
    per_slot_prompt_token_s: NonNegative = Field(
        0.0, description="On top of it, a reserved slot and a token of a prompt."
    )
    slot_shrink_block_s: NonNegative = Field(
        0.0, description="A thread block that the shrink kernels launch for a reserved slot, used or not."
    )
    slot_expand_block_s: NonNegative = Field(
        0.0, description="A thread block that the expand kernels launch for a reserved slot, used or not."
    )
    per_adapter_s: NonNegative = Field(0.0, description="A distinct adapter in the step.")
    per_adapter_cached_s: NonNegative = Field(
        0.0,
        description="A distinct adapter in the step and an adapter in the CPU cache (engines that list the "
        "cache for every adapter of a step).",
    )
    per_weight_byte_s: NonNegative = Field(0.0, description="A byte of a distinct adapter's weights.")
    per_token_s: NonNegative = Field(0.0, description="A token of the step.")
    per_prompt_token_s: NonNegative = Field(0.0, description="On top of it, a token of a prompt.")
    per_token_rank_s: NonNegative = Field(0.0, description="A token of the step and a unit of padded rank.")
    rank_growth: NonNegative = Field(
        0.0,
        description="By how much slots and adapters cost more for each 16 ranks above 16, in steps of fewer "
        "than 128 tokens.",
    )
    base_step_s: NonNegative = Field(0.0, description="A step without adapter tokens, LoRA enabled.")
    graph_mode: Literal["eager", "piecewise", "full"] = Field(
        "piecewise", description="How the engine captured its graphs; the constants hold for this mode alone."
    )


class DraftTerm(Provenance):
    """Cost of drafting: γ·(fixed_s + per_sequence_s·S + per_context_token_s·C) + per_prompt_token_s·P a step.

    P are prompt tokens of the step, which a draft model reads as well. A verify step computes
    1 + γ·drafted_share tokens a sequence: n-gram drafts only where something matches.
    """

    method: Literal["ngram", "draft_model", "eagle3"] = Field(description="How tokens are drafted.")
    model: str | None = Field(None, description="Catalog name of the draft model; null for other methods.")
    fixed_s: NonNegative = Field(description="A draft token of the whole batch.")
    per_sequence_s: NonNegative = Field(0.0, description="A draft token of one sequence.")
    per_context_token_s: NonNegative = Field(0.0, description="A draft token and a token of total context.")
    per_prompt_token_s: NonNegative = Field(0.0, description="A token of a prompt chunk of the step.")
    drafted_share: float = Field(
        1.0, ge=0, le=1, description="Drafts that there are, of γ a sequence and step; below 1 for n-gram."
    )
    weights_bytes: NonNegative = Field(0.0, description="On each device.")
    kv_bytes_per_token: NonNegative = Field(0.0, description="On each device, besides the target's.")
    acceptance: Acceptance = Field(description="Of this draft for the base model.")


class ModelTerms(Spec):
    """Device time of one model at one tensor-parallel degree, on each device of the group."""

    model: ModelShape = Field(description="Sizes; a model is found by them, not by its name.")
    tensor_parallel: int = Field(1, ge=1, le=64, description="Devices of the group.")
    dense: Curve = Field(
        description="x: new tokens of the step. All layers' matrix products, norms and activations."
    )
    head: Curve = Field(description="x: rows that get logits. Final norm, LM head, sampling on the device.")
    attn_prefill: PrefillAttention = Field(description="Prompt chunks.")
    attn_decode: DecodeAttention = Field(description="Decoding sequences.")
    attn_mixed: MixedAttention | None = Field(
        None, description="Decoding sequences of steps that hold prompt tokens; as attn_decode where null."
    )
    all_reduce: Curve | None = Field(
        None, description="x: new tokens of the step; all layers. None at degree 1."
    )
    lora: LoraTerm | None = Field(None, description="Unmerged adapters; null where nothing is known.")
    drafts: tuple[DraftTerm, ...] = Field((), description="Ways to draft tokens.")


class GemmGrid(Provenance):
    """Measured matrix products (m, k) x (k, n) on a grid; for models without a row in `models`."""

    m: Column = Field(description="Rows (tokens), rising.")
    n: Column = Field(description="Columns of the weights, rising.")
    k: Column = Field(description="Rows of the weights, rising.")
    seconds: tuple[tuple[Column, ...], ...] = Field(description="Indexed [m][n][k].")
    weights_dtype: Literal["bfloat16", "fp8"] = Field("bfloat16", description="Type of the weights.")


class HostTerm(Provenance):
    """CPU work of one step: fixed_s + per_sequence_s·S + per_token_s·T.

    `overlapped` engines take max(device, host) + epsilon_s a step, serial ones device + host.
    """

    fixed_s: NonNegative = Field(description="Once a step.")
    per_sequence_s: NonNegative = Field(0.0, description="A sequence of the step.")
    per_token_s: NonNegative = Field(0.0, description="A token of the step.")
    overlapped: bool = Field(False, description="The engine prepares a step while the one before runs.")
    epsilon_s: NonNegative = Field(0.0, description="What an overlapped engine still adds to every step.")


class FrontendTerm(Provenance):
    """Time outside the engine loop that every request pays before its first token reaches the client."""

    fixed_s: NonNegative = Field(0.0, description="A request.")
    per_prompt_token_s: NonNegative = Field(0.0, description="A token of its prompt.")


class LoadTerm(Provenance):
    """One hop of an adapter's way to its slot: fixed_s + bytes / bandwidth_bytes_per_s."""

    hop: Literal["disk_to_cpu", "cpu_to_slot"] = Field(description="From where to where.")
    fixed_s: NonNegative = Field(description="A load, whatever its size: one copy a tensor, files to open.")
    bandwidth_bytes_per_s: float = Field(gt=0, description="Of the rest.")

    def seconds(self, adapter_bytes: float) -> float:
        """Seconds to move one adapter over this hop."""
        return self.fixed_s + adapter_bytes / self.bandwidth_bytes_per_s


class MemoryTerm(Provenance):
    """What the engine takes from the device besides weights, slots and KV cache."""

    overhead_bytes: NonNegative = Field(description="Context, activations, captured graphs.")
    slot_factor: float = Field(1.0, ge=1, description="Measured bytes of a slot over the computed ones.")


class StartupTerm(Provenance):
    """Seconds from process start to the first request: base_s + per_slot_s · slots + weights / bandwidth."""

    base_s: NonNegative = Field(description="Process, imports, compilation, graphs without slots.")
    per_slot_s: NonNegative = Field(0.0, description="A slot: graphs are captured with every slot filled.")
    weights_bandwidth_bytes_per_s: float = Field(1e9, gt=0, description="At which weights are read.")


class Residual(Spec):
    """The sum of the terms held against end-to-end steps of an engine."""

    points: int = Field(ge=1, description="Measured steps.")
    median_relative: float = Field(description="Median of predicted / measured - 1.")
    p90_absolute_relative: NonNegative = Field(description="90th percentile of its absolute value.")
    source: str = Field(description="Which steps, of which engine.")


class Profile(Spec):
    """A device with an engine. Version 1 of the file format."""

    schema_version: Literal[1] = Field(description="Version of the file format.")
    name: str = Field(min_length=1, description="File name without .json, such as h100_sxm-vllm.")
    method: Literal["microbench", "endpoint", "import", "datasheet"] = Field(
        description="How most terms were found."
    )
    created: AwareDatetime = Field(description="When, with time zone.")
    producer: str = Field(min_length=1, description="Program and version that wrote the file.")
    command: str = Field("", description="Writes the file again.")
    device: Device = Field(description="What it holds for; a row of the catalog.")
    engine: str = Field(min_length=1, description="vllm, sglang, builtin, ...")
    engine_version: str = Field(description="As the engine calls itself.")
    graph_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        description="Captured batch sizes; a pure decode step is padded up to the next. Empty: no graphs.",
    )
    models: tuple[ModelTerms, ...] = Field((), description="Models whose terms are known.")
    gemm: tuple[GemmGrid, ...] = Field((), description="For models that are not: products by shape.")
    host: HostTerm = Field(description="CPU work of a step.")
    frontend: FrontendTerm = Field(description="Outside the engine loop.")
    loads: tuple[LoadTerm, ...] = Field(description="Exactly one a hop.")
    memory: MemoryTerm = Field(description="Besides weights, slots and KV cache.")
    startup: StartupTerm = Field(description="From process start to the first request.")
    residual: Residual | None = Field(None, description="Null where no engine's steps are at hand.")
    notes: tuple[str, ...] = Field((), description="What a reader must know.")
    software: dict[str, str] = Field(default_factory=dict, description="Package versions.")
    raw: dict[str, str] = Field(
        default_factory=dict, description="Files with raw samples, relative to this one."
    )

    @model_validator(mode="after")
    def _complete(self) -> Profile:
        hops = sorted(load.hop for load in self.loads)
        if hops != ["cpu_to_slot", "disk_to_cpu"]:
            raise ValueError(f"loads must hold cpu_to_slot and disk_to_cpu once each; got {hops}")
        return self

    def load(self, hop: Literal["disk_to_cpu", "cpu_to_slot"]) -> LoadTerm:
        """Return the load term of a hop."""
        return next(load for load in self.loads if load.hop == hop)


def name_of(path: str | Path) -> str:
    """The name of a profile's file: without .json or .json.gz."""
    return Path(path).name.removesuffix(".gz").removesuffix(".json")


def load_profile(path: str | Path) -> Profile:
    """Read a profile from a JSON file.

    Raises:
        InputError: the file is missing, is not JSON, breaks the contract, or was written by a newer version.
    """
    from advisor.errors import validated
    from advisor.files import read_json

    source = str(path)
    return validated(Profile, read_json(path, schema_version=1), source)


def save_profile(profile: Profile, path: str | Path) -> None:
    """Write a profile: no field that has its default, numbers of a list on one line.

    The old file stays whole until the new one is complete.
    """
    from advisor.files import write_text

    text = profile.model_dump_json(indent=1, exclude_defaults=True)
    write_text(path, _NUMBER_LIST.sub(_one_line, text) + "\n")


class ProfileHead(NamedTuple):
    """What a profile is for."""

    engine: str
    device: str


_HEAD_BYTES = 8192
_DEVICE = re.compile(r'^ "device": \{\s+"name": "([^"\\]+)"', re.MULTILINE)
_ENGINE = re.compile(r'^ "engine": "([^"\\]+)"', re.MULTILINE)


def profile_head(path: Path) -> ProfileHead | None:
    """Engine and device of a file that `save_profile` wrote, from its first lines; None of another file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(_HEAD_BYTES)
    device, engine = _DEVICE.search(start), _ENGINE.search(start)
    return ProfileHead(engine[1], device[1]) if device and engine else None


def find_profiles(folder: str | Path | None = None) -> dict[str, Path]:
    """Return the profiles of a folder (the shipped ones if left out) by name: file name without .json.

    Raises:
        InputError: the folder given does not exist.
    """
    from advisor.datafiles import data_dir
    from advisor.errors import InputError

    place = data_dir() / "profiles" if folder is None else Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; allowed: a folder of profiles (*.json).")
    return {path.stem: path for path in sorted(place.glob("*.json"))}


def find_datasheets() -> dict[str, Path]:
    """Return the shipped profiles that are predicted from datasheets alone, by name.

    They are used only where a scenario names their device and nobody measured it.
    """
    from advisor.datafiles import data_dir

    place = data_dir() / "profiles" / "datasheet"
    return find_profiles(place) if place.is_dir() else {}


def shipped_profile(name: str) -> Profile:
    """Read a profile that comes with the package, measured or of a datasheet.

    Raises:
        InputError: no such profile; says which there are.
    """
    from advisor.errors import InputError

    known = find_profiles() | find_datasheets()
    if name not in known:
        raise InputError(f"profile is {name!r:.60}; allowed: {', '.join(known) or 'none'}.")
    return load_profile(known[name])


_NUMBER_LIST = re.compile(r"\[\s+([-+0-9.eE,\s]+?)\s+\]")


def _one_line(numbers: re.Match[str]) -> str:
    return "[" + " ".join(numbers[1].split()) + "]"
