"""The one-hour runs of the public multi-LoRA server, read.

FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96 (Apache-2.0), family
digital_twin_modelling/real_results: vLLM 0.8.5 (V1) on one H100 with 64 GB, ShareGPT prompts, a Poisson
process for each adapter. Nothing in this program is fitted to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.importers.csvrows import csv_rows

RUNS = "bsc_vllm_multilora_runs.csv.gz"
FAMILY = "digital_twin_modelling/real_results"
HORIZON_S = 3600.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What the client printed at the end of a run."""

    completed: float
    output_tokens_per_s: float
    itl_mean_s: float
    tpot_mean_s: float
    ttft_mean_s: float
    ttft_p50_s: float


METRICS = tuple(Measured.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Run:
    """One hour of one server."""

    model: str
    rank: int
    rates_rps: tuple[float, ...]
    adapters: int
    max_loras: int
    max_num_seqs: int
    prompt_tokens: float  # mean of the served requests
    answer_tokens: float  # mean of the answers, as the model ended them
    offered_answer_tokens: float  # mean of max_tokens, where the model ends no answer early
    measured: Measured

    @property
    def key(self) -> str:
        """Model, rank, rates, adapters and slots in one word."""
        return f"{self.model}/r{self.rank}/{max(self.rates_rps):g}/{self.adapters}/{self.max_loras}"

    @property
    def workload(self) -> tuple[str, int, float, int]:
        """What stays the same while max_loras is varied."""
        return self.model, self.rank, max(self.rates_rps), self.adapters


def read_hours(folder: Path) -> list[Run]:
    """Every one-hour run, in the order of the file."""
    columns = ("family", "model", "max_loras", "num_adapters", "adapter_rates_rps", "output_tok_s")
    return [_run(row) for row in csv_rows(folder / "e2e" / RUNS, columns) if row["family"] == FAMILY]


def _run(row: dict[str, str]) -> Run:
    done = float(row["completed"])
    assert float(row["total_time_s"]) == HORIZON_S
    assert row["max_cpu_loras"] == row["num_adapters"]
    return Run(
        model=row["model"],
        rank=int(row["max_lora_rank"]),
        rates_rps=tuple(float(rate) for rate in row["adapter_rates_rps"].split()),
        adapters=int(row["num_adapters"]),
        max_loras=int(row["max_loras"]),
        max_num_seqs=int(row["max_num_seqs"]),
        prompt_tokens=float(row["input_tokens"]) / done,
        answer_tokens=float(row["output_tokens"]) / done,
        offered_answer_tokens=float(row["offered_output_tokens"]) / float(row["offered_requests"]),
        measured=Measured(
            completed=done,
            output_tokens_per_s=float(row["output_tok_s"]),
            itl_mean_s=1e-3 * float(row["itl_mean_ms"]),
            tpot_mean_s=1e-3 * float(row["tpot_mean_ms"]),
            ttft_mean_s=1e-3 * float(row["ttft_mean_ms"]),
            ttft_p50_s=1e-3 * float(row["ttft_p50_ms"]),
        ),
    )
