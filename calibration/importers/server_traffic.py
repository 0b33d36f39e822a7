"""What adapters cost the public multi-LoRA server under live traffic, from its ten-minute runs.

The controlled runs of `server_lora` hold batches of decodes whose prompts are a few tokens, with rank 8.
Live traffic costs more: prompts of adapters go through the kernels tile by tile, and this vLLM copies the
list of all cached adapters for every adapter of every step (`worker_manager.add_adapter` asks
`list_adapters`), so that an adapter costs more the more are cached. Both show in the ten-minute runs alone,
which also log how many distinct adapters a step held, what loads took, and what the scheduler took.

    step - known = slots · (s + p · P) + A · (a + k · cached) + q · P
    known        = engine without adapters, loads as logged, scanning of the queue as logged

P prompt tokens and A distinct adapters of the mean step. The file does not name the model; a load from memory
takes 7.3 ms in it, as for Llama-3.1-8B (6.5 to 8.7 ms), not as for Qwen2.5-7B (3 to 4 ms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Fit, fit_non_negative
from calibration.importers.server_files import Run, csv_rows
from calibration.importers.server_step import BaseFit

Array = NDArray[np.float64]

TRAFFIC = "bsc_vllm_scheduler_and_loading_adapter_rates.csv.gz"
PROMPT_TOKENS = 250
ANSWER_TOKENS = 231
"""Every request of these runs (processed_tokens / completed_requests is 231; the data set is dummy_mean)."""
TILE_RANK = 16
"""Smallest tile of a Triton product: ranks below cost the same (8 and 16 do, slot for slot)."""
_BUSY = 4.0
"""Fewer decoding sequences on average leave the engine idle at times."""
_MOST_SCANNING_SLOTS = 64
"""With more slots the KV cache, not the slots, keeps requests out, and the scan ends at the first."""


@dataclass(frozen=True, slots=True)
class TrafficFit:
    """Seconds. `rank_growth` as in the profile's LoRA term; `step_residuals` are relative to whole steps."""

    per_slot_s: float
    per_slot_prompt_token_s: float
    per_adapter_s: float
    per_adapter_cached_s: float
    per_prompt_token_s: float
    rank_growth: float
    fit: Fit
    step_residuals: tuple[float, ...]

    def scaled(self, ratio: float, rank_growth: float) -> TrafficFit:
        """For another model: device costs times `ratio`; what the host does for an adapter stays."""
        return TrafficFit(
            per_slot_s=ratio * self.per_slot_s,
            per_slot_prompt_token_s=ratio * self.per_slot_prompt_token_s,
            per_adapter_s=ratio * self.per_adapter_s,
            per_adapter_cached_s=self.per_adapter_cached_s,
            per_prompt_token_s=ratio * self.per_prompt_token_s,
            rank_growth=rank_growth,
            fit=self.fit,
            step_residuals=self.step_residuals,
        )


@dataclass(frozen=True, slots=True)
class _Steps:
    """Columns, one entry a run: means a step, or properties of the run."""

    slots: Array
    cached: Array
    waiting: Array
    seconds: Array
    decodes: Array
    starts: Array
    adapters: Array
    load_s: Array
    scheduler_s: Array


def fit_traffic(folder: Path, base: BaseFit, *, rank_growth: float) -> TrafficFit:
    """Fit the ten-minute runs that keep the engine busy.

    Args:
        folder: of the data files.
        base: the engine without adapters, same model.
        rank_growth: from `rank_growth`.
    """
    steps = _read(folder)
    _, per_sequence_s = _fit_scan(steps)
    scanning = np.maximum(steps.scheduler_s - per_sequence_s * steps.decodes, 0.0)
    without = np.asarray(
        [_without_adapters_s(base, *pair) for pair in zip(steps.decodes, steps.starts, strict=True)]
    )
    beyond = steps.seconds - without - steps.load_s - scanning
    prompts = PROMPT_TOKENS * steps.starts
    kept = beyond > 0
    columns = {
        "slot": steps.slots,
        "slot_prompt_token": steps.slots * prompts,
        "adapter": steps.adapters,
        "adapter_cached": steps.adapters * steps.cached,
        "prompt_token": prompts,
    }
    share = beyond[kept] / steps.seconds[kept]
    fit = fit_non_negative(
        {name: column[kept] for name, column in columns.items()},
        beyond[kept],
        weights=share**2,
        resamples=200,
    )
    return TrafficFit(
        per_slot_s=fit.values["slot"],
        per_slot_prompt_token_s=fit.values["slot_prompt_token"],
        per_adapter_s=fit.values["adapter"],
        per_adapter_cached_s=fit.values["adapter_cached"],
        per_prompt_token_s=fit.values["prompt_token"],
        rank_growth=rank_growth,
        fit=fit,
        step_residuals=tuple((np.asarray(fit.relative_residuals) * share).tolist()),
    )


def rank_growth(runs: list[Run]) -> float:
    """By how much a slot's cost grows for each tile of rank beyond the first.

    One request on an idle engine, slots varied at padded rank 8, 16 and 32: the slopes of TPOT over slots.
    """
    narrow, wide = _slot_slope(runs, (8, TILE_RANK)), _slot_slope(runs, (2 * TILE_RANK,))
    return max(wide / narrow - 1.0, 0.0)


def scan_s(folder: Path) -> float:
    """Scheduler time a step for each waiting request that is passed over for its adapter."""
    return _fit_scan(_read(folder))[0]


def _slot_slope(runs: list[Run], ranks: tuple[int, ...]) -> float:
    points = [
        (run.numbers[0], run.tpot_s)
        for run in runs
        if run.experiment.startswith("find_available") and run.tpot_s > 0 and run.numbers[1] in ranks
    ]
    slots, seconds = np.asarray(points, dtype=np.float64).T
    return float(np.polyfit(slots, seconds, 1)[0])


def _read(folder: Path) -> _Steps:
    names = (
        "gpu_loras",
        "cpu_loras",
        "avg_waiting_queue",
        "duration",
        "steps",
        "output_throughput",
        "completed_requests",
        "mean_loras_by_batch",
        "max_lora_loading_time",
        "max_lora_loads_from_memory",
        "max_lora_loads_from_memory_corrected",
        "total_scheduling_time",
    )
    rows = csv_rows(folder / TRAFFIC, names)
    table = {name: np.asarray([float(row[name]) for row in rows]) for name in names}
    seconds = table["duration"] / table["steps"]
    decodes = table["output_throughput"] * seconds
    in_run = table["max_lora_loads_from_memory_corrected"] / table["max_lora_loads_from_memory"]
    busy = decodes > _BUSY
    columns = (
        table["gpu_loras"],
        table["cpu_loras"],
        table["avg_waiting_queue"],
        seconds,
        decodes,
        table["completed_requests"] / table["steps"],
        table["mean_loras_by_batch"],
        table["max_lora_loading_time"] * in_run / table["steps"],  # the others were loaded at the start
        table["total_scheduling_time"] / table["steps"],
    )
    return _Steps(*(column[busy] for column in columns))


def _fit_scan(steps: _Steps) -> tuple[float, float]:
    """Scheduler time a step: for a waiting request that is passed over, and for a decoding sequence."""
    few = steps.slots <= _MOST_SCANNING_SLOTS
    fit = fit_non_negative(
        {
            "fixed": np.ones(int(few.sum())),
            "sequence": steps.decodes[few],
            "waiting": steps.waiting[few],
        },
        steps.scheduler_s[few],
    )
    return fit.values["waiting"], fit.values["sequence"]


def _without_adapters_s(base: BaseFit, decodes: float, starts: float) -> float:
    """Mean step without adapters: below one start a step, that share of steps holds a prompt."""
    plain = base.seconds(decodes, decodes)
    prompts = math.ceil(max(starts, 1.0)) * PROMPT_TOKENS
    mixed = base.seconds(decodes + prompts, decodes) - plain
    context = decodes * (PROMPT_TOKENS + 0.5 * ANSWER_TOKENS)
    share = starts / math.ceil(max(starts, 1.0))
    return plain + share * mixed + base.per_context_token_s * context + base.per_chunk_s * starts
