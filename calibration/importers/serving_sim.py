"""A profile of a GPU from LLMServingSim's tables: every kernel of its models, measured inside vLLM."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from advisor.catalog.acceptance import default_acceptance
from advisor.catalog.hardware import device as catalog_device
from advisor.catalog.shapes import model as catalog_model
from advisor.errors import InputError
from advisor.profile import ModelTerms, Profile
from advisor.spec.device import Device
from calibration.importers import carried
from calibration.importers.engines import CAPTURED
from calibration.importers.serving_sim_files import LICENCE, ORIGIN, LayerTables, known_tables, read_tables
from calibration.importers.serving_sim_terms import terms_of

DEVICES: Final = {
    "A6000": "RTX A6000",
    "H100": "H100-80-SXM",
    "RTX4090": "RTX 4090",
    "RTXPRO6000": "RTX PRO 6000 Server",
}
"""GPU as the tables call it: name in the catalog."""


def import_serving_sim(
    folder: Path,
    gpu: str,
    *,
    created: datetime,
    producer: str,
    models: Iterable[str] | None = None,
) -> Profile:
    """Read the tables of one GPU, every dense model at degree 1.

    Args:
        folder: of either layout (`serving_sim_files`).
        gpu: as the tables call it.
        created: date of the profile, aware.
        producer: program and version.
        models: as the tables call them; all whose sizes are in the catalog if left out.

    Raises:
        InputError: folder, GPU, model or a table missing; says what there is.
    """
    names = [model for there, model, degree in known_tables(folder) if there == gpu and degree == 1]
    if not names:
        listed = ", ".join(sorted({there for there, _, _ in known_tables(folder)}))
        raise InputError(f"--gpu is {gpu}; allowed: {listed} (tables of one device).")
    device = _device(gpu)
    known, left_out = _terms(folder, gpu, device, names if models is None else list(models), models is None)
    if not known:
        raise InputError(f"{folder}: has no dense model of the catalog for {gpu}; has: {', '.join(names)}.")
    version = known[0][0].vllm_version
    shared = carried.carried()
    return Profile(
        schema_version=1,
        name=f"{gpu.casefold()}-vllm-llmservingsim",
        method="import",
        created=created,
        producer=producer,
        command=f"calibrate import llmservingsim {folder} --gpu {gpu}",
        device=device,
        engine="vllm",
        engine_version=version,
        graph_sizes=CAPTURED,
        models=tuple(_with_ngram(terms) for _, terms in known),
        host=shared.host,
        frontend=shared.frontend,
        loads=carried.loads(device),
        memory=shared.memory,
        startup=shared.startup,
        notes=(
            f"Kernels: {ORIGIN}, {LICENCE}. Host, front end, loads and memory are carried over from others.",
            "No LoRA term: the tables hold no LoRA kernel and no products of small rank.",
            "Kernels were timed in eager mode; the engine runs decodes in captured graphs.",
            *(f"Left out: {reason}" for reason in left_out),
        ),
        software={"profiler": known[0][0].profiler_version, "vllm": version},
    )


def _terms(
    folder: Path, gpu: str, device: Device, names: list[str], forgiving: bool
) -> tuple[list[tuple[LayerTables, ModelTerms]], list[str]]:
    """Terms of every model; those that cannot be modelled are left out with the reason, if `forgiving`."""
    known, left_out = [], []
    for name in names:
        try:
            tables = read_tables(folder, gpu, name, 1)
            known.append((tables, terms_of(tables, catalog_model(name.rpartition("/")[2]), device)))
        except InputError as error:
            if not forgiving:
                raise
            left_out.append(f"{name} ({str(error).split(';')[0]})")
    return known, left_out


def _device(gpu: str) -> Device:
    if gpu in DEVICES:
        return catalog_device(DEVICES[gpu])
    return catalog_device(gpu)


def _with_ngram(terms: ModelTerms) -> ModelTerms:
    return terms.model_copy(update={"drafts": (carried.ngram_draft(terms, default_acceptance("ngram")),)})
