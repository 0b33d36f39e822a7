"""What adapters cost the public multi-LoRA server under live traffic, from its ten-minute runs.

The controlled runs of `server_lora` hold batches of decodes whose prompts are a few tokens. Live traffic
costs more: requests that start, and this vLLM copies the list of all cached adapters for every adapter of
every step (`worker_manager.add_adapter` asks `list_adapters`), so that an adapter costs more the more are
cached. Both show in the ten-minute runs alone, which also log how many distinct adapters a step held, what
loads took, and what the scheduler took. All of them have rank 8.

    step - known = A · (a + k · cached) + start · (new requests)
    known        = engine without adapters, slots (`server_blocks`), loads and scanning of the queue as logged

A distinct adapters of the mean step; its tokens vary as Poisson counts around the means, because the blocks
of slots go in tiles. Every prompt has 250 tokens, so that a start and its tokens cannot be told apart here;
the saturated runs of Qwen, with prompts of 110 and 406 tokens, say that it is the start (4.2 and 4.7 ms). The
file does not name the model; a load from memory takes 7.3 ms in it, as for Llama-3.1-8B (6.5 to 8.7 ms), not
as for Qwen2.5-7B (3 to 4 ms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.fit import Fit, fit_non_negative
from calibration.importers.csvrows import csv_rows
from calibration.importers.server_blocks import BlockFit
from calibration.importers.server_step import BaseFit

Array = NDArray[np.float64]

TRAFFIC = "bsc_vllm_scheduler_and_loading_adapter_rates.csv.gz"
PROMPT_TOKENS = 250
ANSWER_TOKENS = 231
"""Every request of these runs (processed_tokens / completed_requests is 231; the data set is dummy_mean)."""
RANK = 8
MOST_TOKENS = 2048
"""A step's budget (max_num_batched_tokens)."""
_BUSY = 4.0
"""Fewer decoding sequences on average leave the engine idle at times."""
_MOST_SCANNING_SLOTS = 64
"""With more slots the KV cache, not the slots, keeps requests out, and the scan ends at the first."""


@dataclass(frozen=True, slots=True)
class TrafficFit:
    """Seconds. `step_residuals` are relative to whole steps."""

    per_adapter_s: float
    per_adapter_cached_s: float
    per_start_s: float
    fit: Fit
    step_residuals: tuple[float, ...]

    def scaled(self, ratio: float) -> TrafficFit:
        """For another model: device costs times `ratio`; what the host does for an adapter stays."""
        return replace(self, per_adapter_s=ratio * self.per_adapter_s, per_start_s=ratio * self.per_start_s)


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


def fit_traffic(folder: Path, base: BaseFit, blocks: BlockFit) -> TrafficFit:
    """Fit the ten-minute runs that keep the engine busy.

    Args:
        folder: of the data files.
        base: the engine without adapters, same model.
        blocks: its slots.
    """
    steps = _read(folder)
    _, per_sequence_s = _fit_scan(steps)
    scanning = np.maximum(steps.scheduler_s - per_sequence_s * steps.decodes, 0.0)
    pairs = list(zip(steps.decodes, steps.starts, strict=True))
    without = np.asarray([_without_adapters_s(base, *pair) for pair in pairs])
    one_slot = np.asarray([blocks.seconds(tokens, 0, RANK) for tokens in range(MOST_TOKENS + 1)])
    slots = (steps.slots + 1.0) * np.asarray([_mean_over_tokens(one_slot, *pair) for pair in pairs])
    beyond = steps.seconds - without - steps.load_s - scanning - slots - blocks.enabled_s
    kept = beyond > 0
    columns = {
        "adapter": steps.adapters,
        "adapter_cached": steps.adapters * steps.cached,
        "start": steps.starts,
    }
    share = beyond[kept] / steps.seconds[kept]
    fit = fit_non_negative(
        {name: column[kept] for name, column in columns.items()},
        beyond[kept],
        weights=share**2,
        resamples=200,
    )
    return TrafficFit(
        per_adapter_s=fit.values["adapter"],
        per_adapter_cached_s=fit.values["adapter_cached"],
        per_start_s=fit.values["start"],
        fit=fit,
        step_residuals=tuple((np.asarray(fit.relative_residuals) * share).tolist()),
    )


def scan_s(folder: Path) -> float:
    """Scheduler time a step for each waiting request that is passed over for its adapter."""
    return _fit_scan(_read(folder))[0]


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
    table = {name: np.asarray([row.number(name) for row in rows]) for name in names}
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


def _mean_over_tokens(seconds: Array, decodes: float, starts: float) -> float:
    """Mean of seconds[tokens] with Poisson counts of decodes and of new prompts."""
    held, held_chance = _poisson(decodes)
    begun, begun_chance = _poisson(starts)
    tokens = np.minimum(held[:, None] + PROMPT_TOKENS * begun[None, :], MOST_TOKENS)
    return float(held_chance @ seconds[tokens] @ begun_chance)


def _poisson(mean: float) -> tuple[NDArray[np.int64], Array]:
    """Counts within six standard deviations, and their chances."""
    width = 6.0 * math.sqrt(mean) + 3.0
    counts = np.arange(max(int(mean - width), 0), int(mean + width) + 1)
    chance = np.exp(counts * math.log(mean) - mean - np.asarray([math.lgamma(n + 1.0) for n in counts]))
    return counts, chance / chance.sum()
