"""Adapter loads, KV memory, start-up and front end of the public multi-LoRA server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from calibration.fit import Fit, fit_non_negative
from calibration.importers.csvrows import csv_rows
from calibration.importers.server_files import CAPACITY, LOADS, Run, read_capacity
from calibration.importers.server_step import BaseFit


@dataclass(frozen=True, slots=True)
class LoadFit:
    """fixed_s + bytes / bandwidth of one hop."""

    fixed_s: float
    bandwidth_bytes_per_s: float
    fit: Fit


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """KV bytes = usable - weights - overhead - slots · factor · slot bytes."""

    usable_minus_overhead_bytes: float
    slot_factor: float
    relative_residuals: tuple[float, ...]


def frontend_s(runs: list[Run], base: BaseFit) -> float:
    """Median of TTFT less one step and one chunk, over the runs with a single short request."""
    rest = [
        run.ttft_s - run.tpot_s - base.per_chunk_s
        for run in runs
        if run.experiment.startswith("find_available")
    ]
    return max(float(np.median(rest)), 0.0)


def fit_loads(folder: Path, model: str, shape: ModelShape, source: str) -> LoadFit:
    """Fit one hop from single loads; the first of each server start is left out (imports, cold files).

    Args:
        folder: of the data files.
        model: name in the files.
        shape: sizes, for the bytes of an adapter.
        source: `disk` or `memory` (CPU to slot), as in the file.

    Raises:
        InputError: the file is missing, or has no such loads of the model.
    """
    rows = [
        (row.whole("adapter_rank"), 1e-3 * row.number("load_ms"))
        for row in csv_rows(folder / LOADS, ("model", "adapter_rank", "source", "load_index", "load_ms"))
        if row["model"] == model and row["source"] == source and row.whole("load_index") > 0
    ]
    if not rows:
        raise InputError(f"{LOADS}: has no {source} loads of {model}; allowed: a model of the file.")
    bytes_moved = np.asarray([adapter_bytes(shape, ALL_LINEAR, rank) for rank, _ in rows])
    fit = fit_non_negative(
        {"fixed": np.ones_like(bytes_moved), "byte": bytes_moved},
        np.asarray([seconds for _, seconds in rows]),
        resamples=50,
    )
    bandwidth = 1.0 / max(fit.values["byte"], 1e-12)
    return LoadFit(fit.values["fixed"], bandwidth, fit)


def fit_memory(folder: Path, model: str, shape: ModelShape) -> MemoryFit:
    """Fit overhead and slot factor from KV capacity over slots and ranks (relative least squares)."""
    rows = read_capacity(folder, model)
    tokens = np.asarray([kv for _, _, kv in rows])
    slots = np.asarray([count * adapter_bytes(shape, ALL_LINEAR, rank) for count, rank, _ in rows])
    scale = 1.0 / tokens
    design = np.column_stack([np.ones_like(tokens), -slots]) / shape.kv_bytes_per_token
    free, factor = np.linalg.lstsq(design * scale[:, None], tokens * scale, rcond=None)[0]
    factor = max(float(factor), 1.0)
    predicted = design @ np.asarray([free, factor])
    return MemoryFit(float(free) + shape.weights_bytes, factor, tuple((predicted / tokens - 1.0).tolist()))


def kv_capacity_tokens(folder: Path, model: str) -> float:
    """Largest KV cache seen, with the fewest slots."""
    return max(kv for _, _, kv in read_capacity(folder, model))


def fit_startup(folder: Path, model: str) -> tuple[float, float]:
    """Seconds of engine initialisation: base and a slot (graphs are captured with every slot)."""
    rows = [
        (row.number("max_loras"), row.number("engine_init_s"))
        for row in csv_rows(folder / CAPACITY, ("model", "family", "max_loras", "engine_init_s"))
        if row["model"] == model and row["family"].startswith("v1") and row["engine_init_s"]
    ]
    slots = np.asarray([count for count, _ in rows])
    fit = fit_non_negative({"base": np.ones_like(slots), "slot": slots}, np.asarray([s for _, s in rows]))
    return fit.values["base"], fit.values["slot"]
