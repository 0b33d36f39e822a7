"""The public multi-LoRA server's calibration files, read.

The server: vLLM, a V1 development build of spring 2025 (about 0.8.5), one H100 with 64 GB, serial engine
loop. Files (FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96, Apache-2.0): estimator runs, single
adapter loads, KV capacity. The one-hour runs of the same repository are left for validation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError
from calibration.importers.csvrows import csv_rows

SOURCE = "FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96"
LICENCE = "Apache-2.0"
RUNS = "bsc_vllm_estimator_runs.csv.gz"
LOADS = "bsc_vllm_adapter_loads.csv.gz"
CAPACITY = "bsc_vllm_kv_capacity.csv.gz"
_RUN_COLUMNS = (
    *("experiment", "model", "case", "completed", "duration", "total_input_tokens", "total_output_tokens"),
    *("median_ttft_ms", "mean_tpot_ms"),
)


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


def read_runs(folder: Path, model: str) -> list[Run]:
    """Read the estimator runs of one model (its name in the files); failed runs are left out.

    Raises:
        InputError: the file is missing, or has no runs of the model.
    """
    runs = []
    for row in csv_rows(folder / RUNS, _RUN_COLUMNS):
        if row["model"] != model or not row["completed"] or row.whole("completed") == 0:
            continue
        done = row.whole("completed")
        kind, _, case = row["case"].rpartition("/")
        runs.append(
            Run(
                experiment=row["experiment"],
                numbers=tuple(int(number) for number in re.findall(r"\d{1,9}", case, re.ASCII)),
                kind=kind,
                requests=done,
                duration_s=row.number("duration"),
                prompt_tokens=row.number("total_input_tokens") / done,
                output_tokens=row.number("total_output_tokens") / done,
                ttft_s=1e-3 * row.number("median_ttft_ms"),
                tpot_s=1e-3 * row.number("mean_tpot_ms"),
            )
        )
    if not runs:
        raise InputError(f"{RUNS}: has no runs of {model}; allowed: a model of the file.")
    return runs


def read_capacity(folder: Path, model: str) -> list[tuple[int, int, float]]:
    """(slots, rank, KV tokens) of every engine that started.

    Raises:
        InputError: the file is missing, or has fewer than three such rows of the model.
    """
    rows = [
        (row.whole("max_loras"), row.whole("max_lora_rank"), row.positive("kv_cache_tokens"))
        for row in csv_rows(
            folder / CAPACITY, ("model", "family", "max_loras", "max_lora_rank", "kv_cache_tokens")
        )
        if row["model"] == model and row["family"].startswith("v1") and row["kv_cache_tokens"]
    ]
    if len(rows) < 3:
        raise InputError(f"{CAPACITY}: has {len(rows)} V1 rows of {model}; allowed: at least 3.")
    return rows
