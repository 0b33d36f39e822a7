"""The public S-LoRA runs, and the requests that their clients sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from advisor.catalog.shapes import model
from advisor.spec.model import ModelShape
from advisor.trace.trace import BASE, Trace
from calibration.importers.csvrows import Row, csv_rows

Kind = Literal["paper", "scaling", "merge"]
PAPER = "slora_paper_runs.csv.gz"
SCALING = "bsc_slora_scaling_runs.csv.gz"
POOL = "paper/synthetic/slora/synthetic_"
MERGE = "paper/ablation_merge/"
COPIES = "paper/synthetic/vllm/synthetic_num_adapters_a100-80_S2_vllm.jsonl"

SEND_S = 1440.0
"""The second client sends for so long, whatever the rate."""
MOST_SIMULATED = 25_000
"""Requests of one run; no server here ends more within its run, and the first come first."""
LATE_S = 6.0
"""Mean first-token latency beyond which a run of the paper is overloaded: the paper's own limit."""
STARVED = 0.95
"""A run of the second client is overloaded if it ends less than this share of what was sent."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A model with its adapters: ranks go round, as the paper's client hands them out."""

    model: ModelShape
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. Throughput in requests per second, latencies in seconds, means over its requests."""

    kind: Kind
    system: str  # slora (adapters unmerged), or merge (one adapter at a time, merged)
    machine: str
    setting: str
    adapters: int
    alpha: float  # of the power law; 1 is even
    rate_rps: float
    cv: float
    duration_s: float
    input_max: int
    output_max: int
    sent: int
    throughput_rps: float
    latency_s: float  # E2E of the paper's runs, TPOT of the others
    ttft_s: float  # mean, of the second client's runs the median
    keeps_up: bool


def settings() -> dict[str, Setting]:
    """S1, S2 and S4 of the paper, and the second client's."""
    seven = model("Llama-2-7B")  # Llama-7B has the same sizes
    sizes = {"hidden_size": 5120, "layers": 40, "heads": 40, "kv_heads": 40, "intermediate_size": 13824}
    thirteen = seven.model_copy(update={"name": "Llama-13B", **sizes})
    return {
        "S1": Setting(seven, (8,)),
        "S2": Setting(seven, (64, 32, 16, 8)),
        "S4": Setting(thirteen, (64, 32, 16)),
        "rank 32": Setting(seven, (32,)),
    }


def read_pool(folder: Path) -> list[Run]:
    """The paper's runs of S-LoRA as it is, synthetic traffic, one row for each condition.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    rows = [row for row in _paper(folder) if row["source_file"].startswith(POOL) and row["system"] == "slora"]
    used = [row for row in rows if "unused" not in row["source_file"]]
    return _unique([_paper_run(row, "paper", row["setting"]) for row in used])


def read_merging(folder: Path) -> list[Run]:
    """The paper's comparison of merging with serving unmerged; it names no setting, its figure says S2.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    rows = [row for row in _paper(folder) if row["source_file"].startswith(MERGE)]
    return [
        _paper_run(row, "merge", "S2", "merge" if row["source_file"].endswith("_merge.jsonl") else "slora")
        for row in rows
    ]


def read_copies(folder: Path) -> dict[int, float]:
    """Requests per second of so many merged copies on one A100, of ten sent.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    rows = [row for row in _paper(folder) if row["source_file"] == COPIES]
    return {int(float(row["num_adapters"])): float(row["throughput_rps"]) for row in rows}


def read_scaling(folder: Path) -> list[Run]:
    """The second group's runs, those that ended with a result.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    needed = ("num_adapters", "rate_per_adapter_rps", "duration", "completed", "median_ttft_ms")
    runs = []
    for row in csv_rows(folder / "e2e" / SCALING, needed):
        if not row["duration"]:
            continue
        adapters, sent = int(row["num_adapters"]), int(row["num_prompts"])
        runs.append(
            Run(
                kind="scaling", system="slora", machine="H100 64 GB", setting="rank 32", adapters=adapters,
                alpha=1.0, rate_rps=adapters * float(row["rate_per_adapter_rps"]), cv=1.0,
                duration_s=float(row["duration"]), input_max=250, output_max=230, sent=sent,
                throughput_rps=float(row["request_throughput"]),
                latency_s=float(row["mean_tpot_ms"]) / 1e3, ttft_s=float(row["median_ttft_ms"]) / 1e3,
                keeps_up=float(row["completed"]) >= STARVED * sent,
            )
        )  # fmt: skip
    return runs


def requests_of(run: Run) -> Trace:
    """What the run's client sent.

    The paper's client draws from numpy's legacy generator with seed 42: adapters by a power law, lengths
    evenly between 8 and a maximum, gaps by a gamma law, in this order; here the same numbers come out. The
    second client sends prompts and answers of one length, with exponential gaps and a seed that is not told;
    its run ends with its last request, or at the highest rates after 1200 s.
    """
    if run.kind == "scaling":
        return _scaling_requests(run)
    count = int(run.rate_rps * run.duration_s)
    draw = np.random.RandomState(42)
    adapter = (draw.power(run.alpha, count) * max(run.adapters, 1)).astype(np.int64)
    prompt = draw.randint(8, run.input_max, count).astype(np.int64)
    answer = draw.randint(8, run.output_max, count).astype(np.int64)
    gaps_s = draw.gamma(1.0 / run.cv**2, run.cv**2 / run.rate_rps, count)
    if not run.adapters:
        adapter = np.full(count, BASE, dtype=np.int64)
    return Trace(np.cumsum(gaps_s), prompt, answer, adapter, _names(run.adapters))


def _scaling_requests(run: Run) -> Trace:
    count = min(run.sent, MOST_SIMULATED)
    draw = np.random.default_rng(0)
    arrival_s = np.cumsum(draw.exponential(1.0 / run.rate_rps, count))
    if count == run.sent:
        arrival_s *= run.duration_s / arrival_s[-1]
    lengths = (np.full(count, run.input_max, dtype=np.int64), np.full(count, run.output_max, dtype=np.int64))
    return Trace(arrival_s, *lengths, draw.integers(0, run.adapters, count), _names(run.adapters))


def _names(adapters: int) -> tuple[str, ...]:
    return tuple(f"a{index}" for index in range(adapters))


def _paper(folder: Path) -> list[Row]:
    needed = ("source_file", "gpu", "setting", "system", "num_adapters", "first_token_latency_avg_s")
    return csv_rows(folder / "e2e" / PAPER, needed)


def _paper_run(row: dict[str, str], kind: Kind, setting: str, system: str = "slora") -> Run:
    rate, duration = float(row["req_rate_rps"]), float(row["duration_s"])
    ttft = float(row["first_token_latency_avg_s"])
    return Run(
        kind=kind, system=system, machine=row["gpu"], setting=setting,
        adapters=int(float(row["num_adapters"])), alpha=float(row["alpha"]), rate_rps=rate,
        cv=float(row["cv"]), duration_s=duration, input_max=int(row["input_max"]),
        output_max=int(row["output_max"]), sent=int(rate * duration),
        throughput_rps=float(row["throughput_rps"]), latency_s=float(row["latency_avg_s"]), ttft_s=ttft,
        keeps_up=ttft <= LATE_S,
    )  # fmt: skip


def _unique(runs: list[Run]) -> list[Run]:
    """Runs of the same condition, made again for another figure: the first stays."""
    found: dict[tuple[object, ...], Run] = {}
    for run in runs:
        key = (run.machine, run.setting, run.adapters, run.alpha, run.rate_rps, run.cv, run.duration_s)
        found.setdefault(key, run)
    return list(found.values())
