"""The public multi-LoRA server's calibration files, read.

The server: vLLM, a V1 development build of spring 2025 (about 0.8.5), one H100 with 64 GB, serial engine
loop. Files (FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96, Apache-2.0): estimator runs, single
adapter loads, KV capacity. The one-hour runs of the same repository are left for validation.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError
from advisor.files import read_bytes

SOURCE = "FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96"
LICENCE = "Apache-2.0"
RUNS = "bsc_vllm_estimator_runs.csv.gz"
LOADS = "bsc_vllm_adapter_loads.csv.gz"
CAPACITY = "bsc_vllm_kv_capacity.csv.gz"


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
    for row in csv_rows(
        folder / RUNS, ("experiment", "model", "case", "completed", "duration", "mean_tpot_ms")
    ):
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
        raise InputError(f"{RUNS}: has no runs of {model}; allowed: a model of the file.")
    return runs


def read_capacity(folder: Path, model: str) -> list[tuple[int, int, float]]:
    """(slots, rank, KV tokens) of every engine that started.

    Raises:
        InputError: the file is missing, or has fewer than three such rows of the model.
    """
    rows = [
        (int(row["max_loras"]), int(row["max_lora_rank"]), float(row["kv_cache_tokens"]))
        for row in csv_rows(
            folder / CAPACITY, ("model", "family", "max_loras", "max_lora_rank", "kv_cache_tokens")
        )
        if row["model"] == model and row["family"].startswith("v1") and row["kv_cache_tokens"]
    ]
    if len(rows) < 3:
        raise InputError(f"{CAPACITY}: has {len(rows)} V1 rows of {model}; allowed: at least 3.")
    return rows


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
        raise InputError(
            f"{path.name}: lacks the column {missing[0]}; has: {', '.join(reader.fieldnames or ())}."
        )
    return list(reader)
