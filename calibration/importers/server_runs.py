"""Step-time terms of the public multi-LoRA server, fitted to its calibration runs alone.

The server: vLLM, a V1 development build of spring 2025 (about 0.8.5), one H100 with 64 GB, serial engine
loop. Files (FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96, Apache-2.0): estimator runs, single
adapter loads, KV capacity. The one-hour runs of the same repository are left for validation.

    step = dense(T) + row · (logit rows) + kv · C + start · (new chunks)
         + slots · (s + t · T + p · P) + adapter · A

    T tokens of the step, P those of prompts, C total context of the decoding sequences, A distinct adapters
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.files import read_bytes
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from calibration.fit import Fit, fit_non_negative

Array = NDArray[np.float64]

SOURCE = "FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96"
LICENCE = "Apache-2.0"
STEP_TOKENS = 2048
"""max_num_batched_tokens of vLLM's API server on a GPU below 70 GiB (engines.md 5.7)."""
SEATS = 256
"""max_num_seqs of the same; mean running sequences of the saturated runs are 247 and more."""
KNOTS = (50, 100, 200, 400, 600, 800, 1000)

_RUNS = "bsc_vllm_estimator_runs.csv.gz"
_LOADS = "bsc_vllm_adapter_loads.csv.gz"
_CAPACITY = "bsc_vllm_kv_capacity.csv.gz"


@dataclass(frozen=True, slots=True)
class Run:
    """One controlled run; times in seconds."""

    experiment: str
    numbers: tuple[int, ...]
    kind: str
    requests: int
    duration_s: float
    prompt_tokens: float
    output_tokens: float
    ttft_s: float
    tpot_s: float


@dataclass(frozen=True, slots=True)
class BaseFit:
    """The engine without adapters. `tokens` and `dense_s` are dense(T); straight between and beyond."""

    tokens: tuple[float, ...]
    dense_s: tuple[float, ...]
    per_row_s: float
    per_context_token_s: float
    per_chunk_s: float
    prompt_token_s: float
    fit: Fit

    def seconds(self, tokens: float, rows: float) -> float:
        """dense(T) + row · rows."""
        x, y = np.asarray(self.tokens), np.asarray(self.dense_s)
        beyond = max(tokens - x[-1], 0.0) * self.prompt_token_s
        return float(np.interp(tokens, x, y)) + beyond + self.per_row_s * rows


@dataclass(frozen=True, slots=True)
class LoraFit:
    """What slots and adapters add; `step_residuals` are relative to the whole step."""

    per_slot_s: float
    per_slot_token_s: float
    per_slot_prompt_token_s: float
    per_adapter_s: float
    fixed_s: float
    fit: Fit
    step_residuals: tuple[float, ...]


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


def read_runs(folder: Path, model: str) -> list[Run]:
    """Read the estimator runs of one model (its name in the files); failed runs have no result and are left out."""
    runs = []
    for row in csv_rows(folder / _RUNS, ("experiment", "model", "case", "completed", "duration", "mean_tpot_ms")):
        if row["model"] != model or not row["completed"] or float(row["completed"]) <= 0:
            continue
        done = float(row["completed"])
        kind, _, case = row["case"].rpartition("/")
        runs.append(
            Run(
                experiment=row["experiment"],
                numbers=tuple(int(number) for number in re.findall(r"\d+", case)),
                kind=kind,
                requests=int(done),
                duration_s=float(row["duration"]),
                prompt_tokens=float(row["total_input_tokens"]) / done,
                output_tokens=float(row["total_output_tokens"]) / done,
                ttft_s=1e-3 * float(row["median_ttft_ms"]),
                tpot_s=1e-3 * float(row["mean_tpot_ms"]),
            )
        )
    if not runs:
        raise InputError(f"{_RUNS}: has no runs of {model}; allowed: a model of the file.")
    return runs


def fit_base(
    runs: list[Run], *, kv_capacity_tokens: float, prompt_token_s: float | None = None
) -> BaseFit:
    """Fit the engine without adapters.

    Decode runs hold B sequences with a few prompt tokens: TPOT = base(B) + kv · B · (prompt + output / 2),
    base(B) = dense(B) + row · B. Runs whose sequences cannot all lie in the KV cache preempt and are left
    out. What their durations hold beyond the waves of decode steps is the start of each request. A full
    prompt step of prompt-only runs, less its starts, is dense(budget): with base growing by s + row a
    token from 400 on, dense(T) = base(400) - 400 · (s + row) + s · T gives s, and so the row.

    Args:
        runs: of one model.
        kv_capacity_tokens: tokens of the KV cache without adapters.
        prompt_token_s: s, where the files have no prompt-only runs of this model.
    """
    decode = [
        (run, run.numbers[0])
        for run in runs
        if run.kind in ("output", "initial_points_small/output")
        and run.numbers[0] * (run.prompt_tokens + run.output_tokens) < kv_capacity_tokens
    ]
    batch = np.asarray([count for _, count in decode], dtype=np.float64)
    middle = np.asarray([run.prompt_tokens + 0.5 * run.output_tokens for run, _ in decode])
    columns = {f"base_{knot}": _hat(batch, index) for index, knot in enumerate(KNOTS)} | {"kv": batch * middle}
    fit = fit_non_negative(columns, np.asarray([run.tpot_s for run, _ in decode]), resamples=200)
    knots = [fit.values[f"base_{knot}"] for knot in KNOTS]
    start = float(np.median([_start_s(run, knots, fit.values["kv"]) for run, _ in decode]))
    slope = (knots[-1] - knots[_COMPUTE_BOUND]) / (KNOTS[-1] - KNOTS[_COMPUTE_BOUND])
    origin = knots[_COMPUTE_BOUND] - slope * KNOTS[_COMPUTE_BOUND]
    if prompt_token_s is None:
        prompt_token_s = (_full_prompt_step_s(runs, start) - origin) / STEP_TOKENS
    row = max(slope - prompt_token_s, 0.0)
    dense = [base - row * knot for base, knot in zip(knots, KNOTS, strict=True)]
    one = dense[0] - (dense[1] - dense[0]) / (KNOTS[1] - KNOTS[0]) * (KNOTS[0] - 1)
    return BaseFit(
        tokens=(1.0, *map(float, KNOTS)),
        dense_s=(one, *dense),
        per_row_s=row,
        per_context_token_s=fit.values["kv"],
        per_chunk_s=start,
        prompt_token_s=prompt_token_s,
        fit=fit,
    )


_COMPUTE_BOUND = KNOTS.index(400)
"""Knot from which steps grow in proportion to their tokens."""


def _start_s(run: Run, knots: list[float], kv_s: float) -> float:
    """Seconds a request beyond its waves: B sequences decode together, finish together, the next B start."""

    def step(tokens: float) -> float:
        return float(np.interp(max(tokens, KNOTS[0]), KNOTS, knots))

    def wave(count: int) -> float:
        context = count * (run.prompt_tokens + 0.5 * run.output_tokens)
        prompts = count * run.prompt_tokens
        return (run.output_tokens - 1) * (step(count) + kv_s * context) + math.ceil(prompts / STEP_TOKENS) * step(
            min(prompts, STEP_TOKENS)
        )

    full, rest = divmod(run.requests, run.numbers[0])
    return (run.duration_s - full * wave(run.numbers[0]) - (wave(rest) if rest else 0.0)) / run.requests


def _full_prompt_step_s(runs: list[Run], start: float) -> float:
    """Median seconds of a step that is full of prompts, the starts of its requests taken off.

    Raises:
        InputError: no prompt-only runs long enough.
    """
    rows = [run for run in runs if run.kind == "input" and run.requests * run.prompt_tokens > 10 * STEP_TOKENS]
    if not rows:
        raise InputError(f"{_RUNS}: has no prompt-only runs of this model; give prompt_token_s of another one.")
    steps = [
        (run.duration_s - run.requests * start) / (run.requests * run.prompt_tokens / STEP_TOKENS) for run in rows
    ]
    return float(np.median(steps))


def fit_lora(runs: list[Run], base: BaseFit) -> LoraFit:
    """Fit slots and adapters from three families at once, each family counting the same.

    One sequence, slots varied; a full decode batch with 300 slots, adapters varied; saturated runs with
    prompts in every step. Errors count relative to the whole step. The engine without adapters was measured from 50 sequences on: one sequence takes
    the line through 50 and 100.
    """
    rows = [*_slot_rows(runs, base), *_adapter_rows(runs, base), *_saturated_rows(runs, base)]
    families = [row[0] for row in rows]
    seconds = np.asarray([row[2] for row in rows])
    steps = np.asarray([row[3] for row in rows])
    weights = np.asarray([1.0 / families.count(family) for family in families]) * (seconds / steps) ** 2
    names = ("fixed", "slot", "slot_token", "slot_prompt_token", "adapter")
    columns = {name: np.asarray([row[1][index] for row in rows]) for index, name in enumerate(names)}
    fit = fit_non_negative(columns, seconds, weights=weights, resamples=200)
    return LoraFit(
        per_slot_s=fit.values["slot"],
        per_slot_token_s=fit.values["slot_token"],
        per_slot_prompt_token_s=fit.values["slot_prompt_token"],
        per_adapter_s=fit.values["adapter"],
        fixed_s=fit.values["fixed"],
        fit=fit,
        step_residuals=tuple((np.asarray(fit.relative_residuals) * seconds / steps).tolist()),
    )


_Row = tuple[str, tuple[float, ...], float, float]
"""Family, factors of the coefficients, seconds beyond the engine without adapters, seconds of the step."""


def _slot_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """One sequence, no prompt in the step."""
    rows: list[_Row] = []
    for run in runs:
        if run.experiment.startswith("find_available") and run.tpot_s > 0:
            context = run.prompt_tokens + 0.5 * run.output_tokens
            slots = float(run.numbers[0])
            seconds = run.tpot_s - base.seconds(1.0, 1.0) - base.per_context_token_s * context
            if seconds > 0:
                rows.append(("slots", (1.0, slots, slots, 0.0, 1.0), seconds, run.tpot_s))
    return rows


def _adapter_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """A full decode batch; its prompts are a few tokens."""
    rows: list[_Row] = []
    for run in runs:
        if run.kind.startswith("overhead_small"):
            batch, slots, adapters = float(run.numbers[0]), float(run.numbers[1]), run.numbers[-1]
            context = batch * (run.prompt_tokens + 0.5 * run.output_tokens)
            seconds = run.tpot_s - base.seconds(batch, batch) - base.per_context_token_s * context
            rows.append(("adapters", (1.0, slots, slots * batch, 0.0, distinct(adapters, batch)), seconds, run.tpot_s))
    return rows


def _saturated_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """Mean step of a saturated run: every seat busy, prompts arriving as fast as requests finish."""
    rows: list[_Row] = []
    for run in runs:
        if not run.kind.startswith("find_max_batch"):
            continue
        slots = float(run.numbers[0])
        steps = run.requests * run.output_tokens / SEATS
        chunks = SEATS / run.output_tokens
        prompts = chunks * run.prompt_tokens
        context = SEATS * (run.prompt_tokens + 0.5 * run.output_tokens)
        known = base.seconds(SEATS + prompts, SEATS) + base.per_context_token_s * context + base.per_chunk_s * chunks
        adapters = distinct(int(slots), SEATS)
        factors = (1.0, slots, slots * (SEATS + prompts), slots * prompts, adapters)
        step = run.duration_s / steps
        rows.append(("saturated", factors, step - known, step))
    return rows


def distinct(adapters: int, batch: float) -> float:
    """Expected distinct adapters among `batch` sequences that pick one of `adapters` evenly."""
    return adapters * (1.0 - (1.0 - 1.0 / adapters) ** batch)


def frontend_s(runs: list[Run], base: BaseFit) -> float:
    """Median of TTFT less one step and one chunk, over the runs with a single short request."""
    rest = [
        run.ttft_s - run.tpot_s - base.per_chunk_s for run in runs if run.experiment.startswith("find_available")
    ]
    return max(float(np.median(rest)), 0.0)


def fit_loads(folder: Path, model: str, shape: ModelShape, source: str) -> LoadFit:
    """Fit one hop from single loads; the first of each server start is left out (imports, cold files).

    Args:
        folder: of the data files.
        model: name in the files.
        shape: sizes, for the bytes of an adapter.
        source: `disk` or `memory` (CPU to slot), as in the file.
    """
    rows = [
        (int(row["adapter_rank"]), 1e-3 * float(row["load_ms"]))
        for row in csv_rows(folder / _LOADS, ("model", "adapter_rank", "source", "load_index", "load_ms"))
        if row["model"] == model and row["source"] == source and int(row["load_index"]) > 0
    ]
    if not rows:
        raise InputError(f"{_LOADS}: has no {source} loads of {model}; allowed: a model of the file.")
    bytes_moved = np.asarray([adapter_bytes(shape, ALL_LINEAR, rank) for rank, _ in rows])
    fit = fit_non_negative(
        {"fixed": np.ones_like(bytes_moved), "byte": bytes_moved},
        np.asarray([seconds for _, seconds in rows]),
        resamples=50,
    )
    bandwidth = 1.0 / max(fit.values["byte"], 1e-12)
    return LoadFit(fit.values["fixed"], bandwidth, fit)


def fit_memory(folder: Path, model: str, shape: ModelShape) -> MemoryFit:
    """Fit overhead and slot factor from KV capacity over slots and ranks (least squares of relative errors)."""
    rows = _capacity(folder, model)
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
    return max(kv for _, _, kv in _capacity(folder, model))


def fit_startup(folder: Path, model: str) -> tuple[float, float]:
    """Seconds of engine initialisation: base and a slot (graphs are captured with every slot)."""
    rows = [
        (float(row["max_loras"]), float(row["engine_init_s"]))
        for row in csv_rows(folder / _CAPACITY, ("model", "family", "max_loras", "engine_init_s"))
        if row["model"] == model and row["family"].startswith("v1") and row["engine_init_s"]
    ]
    slots = np.asarray([count for count, _ in rows])
    fit = fit_non_negative({"base": np.ones_like(slots), "slot": slots}, np.asarray([s for _, s in rows]))
    return fit.values["base"], fit.values["slot"]


def _capacity(folder: Path, model: str) -> list[tuple[int, int, float]]:
    """(slots, rank, KV tokens) of every engine that started."""
    rows = [
        (int(row["max_loras"]), int(row["max_lora_rank"]), float(row["kv_cache_tokens"]))
        for row in csv_rows(folder / _CAPACITY, ("model", "family", "max_loras", "max_lora_rank", "kv_cache_tokens"))
        if row["model"] == model and row["family"].startswith("v1") and row["kv_cache_tokens"]
    ]
    if len(rows) < 3:
        raise InputError(f"{_CAPACITY}: has {len(rows)} V1 rows of {model}; allowed: at least 3.")
    return rows


def _hat(values: Array, index: int) -> Array:
    """Hat function of a knot: 1 there, 0 at its neighbours, straight between."""
    heights = np.zeros(len(KNOTS))
    heights[index] = 1.0
    return np.asarray(np.interp(values, np.asarray(KNOTS, dtype=np.float64), heights))


def csv_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Read a CSV file with a header, gzipped if its name says so.

    Raises:
        InputError: missing, damaged, not text, or a column missing.
    """
    try:
        content = read_bytes(path)
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: is not readable as text: {error}.") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path.name}: lacks the column {missing[0]}; has: {', '.join(reader.fieldnames or ())}.")
    return list(reader)
