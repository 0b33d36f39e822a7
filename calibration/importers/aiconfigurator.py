"""A profile of a GPU and engine from the operator tables of the package aiconfigurator-core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from advisor.catalog.acceptance import default_acceptance
from advisor.catalog.hardware import device as catalog_device
from advisor.catalog.shapes import model as catalog_model
from advisor.errors import InputError
from advisor.profile import DraftTerm, LoadTerm, ModelTerms, Profile
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin, WeightsDtype
from advisor.spec.speculation import Acceptance
from calibration.importers import carried
from calibration.importers.engines import CAPTURED, EngineFacts, borrowed, facts_of
from calibration.importers.lora_gemms import fit_lora
from calibration.importers.model_terms import Operators
from calibration.importers.tables import Tables, find_tables

DEVICES = {
    "a100_sxm": "A100-80-SXM",
    "b200_sxm": "B200-SXM",
    "b300_sxm": "B300-SXM",
    "b60": "Arc Pro B60",
    "gb200": "GB200",
    "gb300": "GB300",
    "h100_pcie": "H100-80-PCIe",
    "h100_sxm": "H100-80-SXM",
    "h200_sxm": "H200-SXM",
    "l4": "L4",
    "l40s": "L40S",
    "rtx_pro_6000_server": "RTX PRO 6000 Server",
}
"""Name in the package: name in the catalog."""

MODELS = (
    "Llama-3.1-8B",
    "Llama-3.2-1B",
    "Llama-3.2-3B",
    "Llama-3.3-70B",
    "Mistral-7B-v0.3",
    "Qwen2.5-7B",
    "Qwen3-0.6B",
    "Qwen3-8B",
    "Qwen3-14B",
    "Qwen3-32B",
    "Llama-3.1-8B-FP8",
    "Llama-3.3-70B-FP8",
    "Qwen3-32B-FP8",
)
"""What is imported if nothing else is asked for."""

DEGREES = (1, 2, 4, 8)
DRAFT_MODELS = {"Llama": "Llama-3.2-1B", "Qwen3": "Qwen3-0.6B"}
"""Smallest model of a family with the same vocabulary."""
_DRAFT_ACCEPTANCE = 0.6
"""Assumed chance that a small model's token is accepted; nothing published is in the catalog."""
_SMALLEST_TARGET = 3
"""A draft must be this many times smaller than its target."""
_EAGLE3_TARGETS = ("Llama-3.1-8B", "Llama-3.3-70B", "Qwen3-8B", "Qwen3-14B", "Qwen3-32B")
"""Models with published EAGLE-3 heads (facts.md 4.2)."""

_WEIGHTS_SHARE = 0.85
"""Weights may take this share of the device; the rest is KV cache, context and graphs."""
_REFERENCE_SYSTEM = "h100_sxm"
_OTHER_ENGINE = 1.5
"""By how much a term carried over from another engine may be off besides; a judgement, nothing measured."""


def import_profile(
    system: str,
    engine: str,
    *,
    created: datetime,
    producer: str,
    engine_version: str | None = None,
    models: Iterable[str] = MODELS,
    folder: str | None = None,
) -> Profile:
    """Read the tables and write every term the contract knows.

    Args:
        system: GPU as the package names it.
        engine: vllm, sglang or trtllm. Host, LoRA and memory of the last two are vLLM's, said so, with wider
            intervals: nothing public has theirs.
        created: date of the profile, aware.
        producer: program and version.
        engine_version: newest in the package if left out.
        models: catalog names; an ending -FP8 asks for fp8 linear weights.
        folder: the package's systems folder, in place of the installed package.

    Raises:
        InputError: package, system, engine, version, model or table missing; says what there is.
    """
    facts = facts_of(engine)
    tables = find_tables(system, facts.tables, engine_version, folder=folder)
    if system not in DEVICES:
        raise InputError(f"--system is {system}; allowed: {', '.join(DEVICES)} (devices of the catalog).")
    device = catalog_device(DEVICES[system])
    graphs = facts.captured(device)
    operators = Operators(tables, device, max(graphs, default=0))
    known = _model_terms(operators, [catalog_model(name) for name in models])
    if not known:
        raise InputError(f"{device.name}: none of the models fits it; allowed: models of at most its memory.")
    ready = tuple(_with_lora_and_drafts(terms, known, operators, facts, folder) for terms in known)
    shared = carried.carried()
    return Profile(
        schema_version=1,
        name=f"{system}-{facts.name}",
        method="import",
        created=created,
        producer=producer,
        command=f"calibrate import aiconfigurator --system {system} --engine {facts.tables}",
        device=device,
        engine=facts.name,
        engine_version=tables.engine_version,
        graph_sizes=graphs,
        models=ready,
        gemm=tuple(g for g in (operators.grid(dtype) for dtype in WeightsDtype) if g is not None),
        host=borrowed(shared.host, facts, _OTHER_ENGINE),
        frontend=borrowed(shared.frontend, facts, _OTHER_ENGINE),
        loads=_loads(device, facts),
        memory=borrowed(shared.memory, facts, _OTHER_ENGINE),
        startup=borrowed(shared.startup, facts, _OTHER_ENGINE),
        notes=(
            "No LoRA kernel was measured: the LoRA terms are estimates with wide intervals. Measure yours.",
            "Operator tables: NVIDIA, aiconfigurator-core, Apache-2.0.",
            *facts.notes,
        ),
        software={"aiconfigurator-core": tables.package_version, facts.name: tables.engine_version},
    )


def _loads(device: Device, facts: EngineFacts) -> tuple[LoadTerm, LoadTerm]:
    disk, slot = carried.loads(device)
    return borrowed(disk, facts, _OTHER_ENGINE), borrowed(slot, facts, _OTHER_ENGINE)


def _model_terms(operators: Operators, models: list[ModelShape]) -> list[ModelTerms]:
    """Device terms at every degree whose share of heads is whole and whose weights fit."""
    found = []
    for model in models:
        if operators.gemm(model.weights_dtype) is None:
            continue
        for degree in DEGREES:
            if fits(operators.device, model, degree):
                found.append(operators.terms(model, degree))
    return found


def fits(device: Device, model: ModelShape, tensor_parallel: int) -> bool:
    """Whether weights leave room for a KV cache, the node has so many devices and the heads divide."""
    room = model.weights_bytes / tensor_parallel <= _WEIGHTS_SHARE * device.memory_bytes
    return room and tensor_parallel <= device.max_tensor_parallel and _divides(model, tensor_parallel)


def _divides(model: ModelShape, degree: int) -> bool:
    """Heads divide, KV heads divide or are copied to whole numbers of devices, small models stay whole."""
    whole = model.heads % degree == 0 and (model.kv_heads % degree == 0 or degree % model.kv_heads == 0)
    return whole and model.layer_parameters / degree >= _SMALLEST_SHARE


_SMALLEST_SHARE = 4e8
"""Linear parameters a device below which nobody splits a model."""


def _with_lora_and_drafts(
    terms: ModelTerms,
    known: list[ModelTerms],
    operators: Operators,
    facts: EngineFacts,
    folder: str | None,
) -> ModelTerms:
    table = operators.gemm(WeightsDtype.BFLOAT16)
    assert table is not None, "every engine has a bfloat16 table"
    fit = fit_lora(table, terms.model, terms.tensor_parallel)
    ratio = fit.values["fixed"] / _reference_fixed_s(terms, operators.tables, folder)
    lora = carried.lora_term(fit, terms.model, ratio, operators.device, table=operators.tables.source)
    lora = borrowed(lora, facts, _OTHER_ENGINE)
    return terms.model_copy(update={"lora": lora, "drafts": drafts_of(terms, known, operators.device)})


def _reference_fixed_s(terms: ModelTerms, tables: Tables, folder: str | None) -> float:
    """Fixed part of the same products on the GPU on which adapters and slots were measured."""
    operators = _reference_operators(str(tables.root), folder)
    table = operators.gemm(WeightsDtype.BFLOAT16)
    assert table is not None, "every engine has a bfloat16 table"
    return fit_lora(table, terms.model, terms.tensor_parallel).values["fixed"]


@lru_cache(maxsize=2)
def _reference_operators(root: str, folder: str | None) -> Operators:
    """The H100's tables; without them (a folder that lacks the H100) this is an InputError that says so."""
    tables = find_tables(_REFERENCE_SYSTEM, "vllm", folder=folder)
    return Operators(tables, catalog_device(DEVICES[_REFERENCE_SYSTEM]), CAPTURED[-1])


def drafts_of(terms: ModelTerms, known: Sequence[ModelTerms], device: Device) -> tuple[DraftTerm, ...]:
    """N-gram for every model, EAGLE-3 where heads are published, a small model where this profile has one."""
    drafts = [carried.ngram_draft(terms, default_acceptance("ngram"))]
    name = terms.model.name.removesuffix("-FP8")
    if name in _EAGLE3_TARGETS:
        measured = (
            name == "Llama-3.1-8B"
            and device.name == DEVICES[_REFERENCE_SYSTEM]
            and terms.tensor_parallel == 1
        )
        drafts.append(carried.eagle3_draft(terms, default_acceptance("eagle3"), measured_on_h100=measured))
    family = next((small for start, small in DRAFT_MODELS.items() if name.startswith(start)), None)
    small = next((t for t in known if t.model.name == family and t.tensor_parallel == 1), None)
    if small is not None and terms.model.parameters >= _SMALLEST_TARGET * small.model.parameters:
        assumed = Acceptance(
            marginals=tuple(round(_DRAFT_ACCEPTANCE**place, 4) for place in range(1, 9)),
            origin=Origin.ESTIMATED,
            source=f"assumption: each token accepted with {_DRAFT_ACCEPTANCE}",
        )
        drafts.append(carried.model_draft(small, assumed))
    return tuple(drafts)
