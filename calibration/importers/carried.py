"""Terms that no operator table holds, carried over from public end-to-end runs.

`carried.json` beside this file holds the figures, each with its source; `python -m benchmarks.build_profiles`
fits it again from the public data. What is done to them here: scaling to another model, GPU or degree.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field

from advisor.errors import validated
from advisor.files import read_json
from advisor.profile import (
    DraftTerm,
    FrontendTerm,
    HostTerm,
    LoadTerm,
    LoraTerm,
    MemoryTerm,
    ModelTerms,
    NonNegative,
    StartupTerm,
    find_profiles,
    load_profile,
)
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin, Spec
from advisor.spec.speculation import Acceptance
from calibration.fit import Fit

_FILE = Path(__file__).with_name("carried.json")

REFERENCE_LAYERS = 32
"""Layers of Llama-3.1-8B, whose groups were measured; Qwen2.5-7B's 28 layers agree within 10 %."""
_CARD = "rtx_4090-vllm"
_LARGE_BYTES = 70 * 2.0**30
_HOST_LINK_SHARE = 0.8
"""Share of the host link's datasheet rate that a pinned copy reaches (aiconfigurator's factor for memory)."""
EAGLE3_VOCABULARY = 32_000
"""Words of an EAGLE-3 head's own vocabulary (the published heads of Llama-3.1-8B)."""


class Groups(Spec):
    """What distinct adapters and reserved slots add to a step of Llama-3.1-8B on an H100."""

    per_adapter_s: NonNegative
    per_slot_s: NonNegative
    per_slot_token_s: NonNegative
    per_slot_prompt_token_s: NonNegative
    source: str = Field(min_length=1)


class Eagle3(Spec):
    """Cost of one EAGLE-3 draft token beyond one layer and its small head, and its acceptance."""

    overhead_s: NonNegative
    per_sequence_s: NonNegative
    source: str = Field(min_length=1)


class Carried(Spec):
    """Contents of carried.json."""

    schema_version: int = Field(ge=1, le=1)
    groups: Groups
    host: HostTerm
    frontend: FrontendTerm
    disk_to_cpu: LoadTerm
    cpu_to_slot_s: NonNegative
    cpu_to_slot_source: str = Field(min_length=1)
    memory: MemoryTerm
    startup: StartupTerm
    eagle3: Eagle3


@lru_cache(maxsize=1)
def carried() -> Carried:
    """The figures as shipped."""
    return validated(Carried, read_json(_FILE, schema_version=1), _FILE.name)


def loads(device: Device) -> tuple[LoadTerm, LoadTerm]:
    """Both hops. The bytes into a slot go over this device's link: what was timed was their enqueuing."""
    known = carried()
    to_slot = LoadTerm(
        hop="cpu_to_slot",
        fixed_s=known.cpu_to_slot_s,
        bandwidth_bytes_per_s=_HOST_LINK_SHARE * device.host_link_bytes_per_s,
        origin=Origin.EXTRAPOLATED,
        source=f"{known.cpu_to_slot_source}; bytes over this device's host link at {_HOST_LINK_SHARE:.0%}",
        interval=(0.4, 1.5),
    )
    return known.disk_to_cpu, to_slot


def memory(device: Device) -> MemoryTerm:
    """Below 70 GiB, where vLLM's steps are small, as on the one card that was seen; else the server's."""
    place = find_profiles().get(_CARD)
    if device.memory_bytes >= _LARGE_BYTES or place is None:
        return carried().memory
    return load_profile(place).memory


def lora_term(
    fit: Fit, model: ModelShape, small_product_ratio: float, device: Device, *, table: str
) -> LoraTerm:
    """Join products of small rank (this GPU) with groups and slots (public server, scaled).

    Groups scale with layers, and from the H100 to this GPU as its small-rank products do: 0.33 ms for the
    42 MB of a rank-8 adapter is 126 GB/s, so that launches and tiles are what it pays, not memory. The
    products are those of one adapter, so one group is taken off the fixed part.

    Args:
        fit: of `calibration.importers.lora_gemms.fit_lora`.
        model: sizes.
        small_product_ratio: fixed part of this GPU over the H100's for the same model.
        device: whose bandwidth bounds the reading of weights.
        table: source of the products.
    """
    groups = carried().groups
    scale = small_product_ratio * model.layers / REFERENCE_LAYERS
    per_adapter = groups.per_adapter_s * scale
    return LoraTerm(
        origin=Origin.ESTIMATED,
        source=f"small-rank products of {table}; adapters and slots: {groups.source}, times {scale:.2f}",
        licence="Apache-2.0",
        interval=(0.3, 1.3),
        fixed_s=_digits(max(fit.values["fixed"] - per_adapter, 0.0)),
        per_slot_s=_digits(groups.per_slot_s * scale),
        per_slot_token_s=_digits(groups.per_slot_token_s * scale),
        per_slot_prompt_token_s=_digits(groups.per_slot_prompt_token_s * scale),
        per_adapter_s=_digits(per_adapter),
        per_weight_byte_s=_digits(max(fit.values["byte"], 1.0 / device.bandwidth_bytes_per_s)),
        per_token_s=_digits(fit.values["token"]),
        per_token_rank_s=_digits(fit.values["token_rank"]),
    )


def ngram_draft(terms: ModelTerms, acceptance: Acceptance) -> DraftTerm:
    """N-gram look-up: 0.6 % of a verify step of three drafts (facts.md 4.1), so 0.2 % a draft."""
    share = 0.006 / 3
    fixed, per_sequence, per_context = _decode_line(terms)
    return DraftTerm(
        origin=Origin.EXTRAPOLATED,
        source="0.6 % of the verify step: arXiv 2601.11580 (SpecDecode-Bench), Llama-3.1-8B, one H100",
        interval=(0.3, 3.0),
        method="ngram",
        fixed_s=_digits(share * fixed),
        per_sequence_s=_digits(share * per_sequence),
        per_context_token_s=_digits(share * per_context),
        acceptance=acceptance,
    )


def eagle3_draft(terms: ModelTerms, acceptance: Acceptance, *, measured_on_h100: bool) -> DraftTerm:
    """One EAGLE-3 draft token: one layer of the target, a head of 32,000 words, and an overhead.

    The overhead makes the sum on an H100 with Llama-3.1-8B what was published: 2.135 ms for three drafts.
    Memory: the layer (its first product takes two hidden states), the mixing of three, the head.
    """
    model, layers = terms.model, terms.model.layers
    share = min(EAGLE3_VOCABULARY / model.vocab_size, 1.0)
    decode, known = terms.attn_decode, carried().eagle3
    query, key = model.heads * model.head_dim, model.kv_heads * model.head_dim
    hidden = model.hidden_size
    weights = 2 * hidden * (query + 2 * key) + query * hidden + 3 * hidden * model.intermediate_size
    weights += 3 * hidden * hidden + EAGLE3_VOCABULARY * hidden
    fixed = known.overhead_s + (terms.dense.y_s[0] + decode.fixed_s[0]) / layers + share * terms.head.y_s[0]
    return DraftTerm(
        origin=Origin.FITTED if measured_on_h100 else Origin.ESTIMATED,
        source=known.source + ("" if measured_on_h100 else "; layer and head of this model and device"),
        interval=(0.8, 1.3) if measured_on_h100 else (0.6, 1.7),
        method="eagle3",
        fixed_s=_digits(fixed),
        per_sequence_s=_digits(known.per_sequence_s),
        per_context_token_s=_digits(decode.per_context_token_s[0] / layers),
        weights_bytes=weights * 2.0 / terms.tensor_parallel,
        kv_bytes_per_token=4.0 * key / terms.tensor_parallel,
        acceptance=acceptance,
    )


def model_draft(draft: ModelTerms, acceptance: Acceptance) -> DraftTerm:
    """A draft model of the same profile: its own decode step a draft token, on one device."""
    fixed, per_sequence, per_context = _decode_line(draft)
    return DraftTerm(
        origin=Origin.ESTIMATED,
        source=f"decode step of {draft.model.name} in this profile; acceptance is an assumption",
        interval=(0.8, 1.5),
        method="draft_model",
        model=draft.model.name,
        fixed_s=_digits(fixed),
        per_sequence_s=_digits(per_sequence),
        per_context_token_s=_digits(per_context),
        weights_bytes=draft.model.weights_bytes,
        kv_bytes_per_token=float(draft.model.kv_bytes_per_token),
        acceptance=acceptance,
    )


def _decode_line(terms: ModelTerms) -> tuple[float, float, float]:
    """Seconds of a decode step as fixed + per sequence + per context token, through 1 and 64 sequences."""
    from advisor.steptime.tables import at_every_count, by_count

    dense, head = at_every_count(terms.dense, 64), at_every_count(terms.head, 64)
    reduce = [0.0] * 65 if terms.all_reduce is None else at_every_count(terms.all_reduce, 64)
    start = by_count(terms.attn_decode.sequences, terms.attn_decode.fixed_s, 64)
    one, many = (dense[n] + head[n] + start[n] + reduce[n] for n in (1, 64))
    slope = max((many - one) / 63, 0.0)
    return one - slope, slope, terms.attn_decode.per_context_token_s[0]


def _digits(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")
