"""The simulator against real vLLM runs, request by request: `python -m benchmarks.validate_requests`.

Kernel times of the same GPU, model and engine version come from LLMServingSim's tables, so that what differs
is the simulator's own. Reads the public measurements in the folder named by LORA_ADVISOR_DATA; writes a table
into docs/validation.md, every pair into benchmarks/results/requests_pairs.csv and a plot beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from advisor.errors import AdvisorError
from advisor.profile import Profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import BASE, Trace
from benchmarks._page import ROOT, replace_block, table
from benchmarks._pairs import percent, plot_pairs, write_pairs
from benchmarks.build_profiles import data_folder
from calibration.importers.csvrows import csv_rows
from calibration.importers.serving_sim import import_serving_sim

PAGE = ROOT / "docs" / "validation.md"
Floats = NDArray[np.float64]

RUNS = {
    "RTX 4090": ("RTX4090", "vllm_requests_RTX4090_Llama-3.1-8B"),
    "RTX PRO 6000": ("RTXPRO6000", "vllm_requests_RTXPRO6000_Llama-3.1-8B"),
}
"""Name: GPU in the tables, beginning of the run's files. All Llama-3.1-8B, 300 requests, vLLM 0.19.0."""
METRICS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "E2E"}
PERCENTILES = (50, 90, 99)
TARGET = {"ttft_s": 0.05, "tpot_s": 0.02, "e2e_s": 0.02}
MEMORY_SHARE = 0.9
"""Of the device; vLLM's default, and what the run's file says where it says it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: the requests in the order of their arrival, and what the engine was told."""

    trace: Trace
    measured: dict[str, Floats]
    limits: EngineLimits
    kv_blocks: int | None  # as the engine logged them


@click.command(help=__doc__)
def main() -> None:
    """Simulate, print, write."""
    try:
        folder = data_folder()
        rows, tables = compare(folder)
        text = f"{tables}\n\n{variants(folder)}\n\n{decode_seconds(folder)}"
        print(text)
        write_pairs("requests_pairs", rows)
        plot_pairs("requests", rows, {k: f"{v}, s" for k, v in METRICS.items()}, "gpu")
        replace_block(PAGE, "requests", text)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def compare(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Every request as measured and predicted, and the table of percentiles."""
    rows: list[dict[str, Any]] = []
    lines = []
    for name, (gpu, file) in RUNS.items():
        run, profile = read_run(folder / "e2e", file), profile_of(folder, gpu)
        found = times(simulate(run, profile))
        for metric, title in METRICS.items():
            cells = [_cell(run.measured[metric], found[metric], p, TARGET[metric]) for p in PERCENTILES]
            lines.append((f"{name}, {title}", *cells, percent(TARGET[metric])))
        for index in range(len(run.trace)):
            row: dict[str, Any] = {"gpu": name, "request": index}
            for metric in METRICS:
                row[f"predicted_{metric}"] = float(found[metric][index])
                row[f"measured_{metric}"] = float(run.measured[metric][index])
            rows.append(row)
    head = ("run", *(f"p{p}: measured, predicted" for p in PERCENTILES), "target")
    return rows, table(head, lines).strip()


def variants(folder: Path) -> str:
    """What each part of the model is worth: errors of the mean with the part left out."""
    lines = []
    for what, changes in {
        "as imported": {},
        "decodes beside prompts cost what they cost alone": {"mixed": False},
        "preempted requests find nothing of theirs in the cache": {"keeps": False},
        "no host time between steps": {"epsilon": False},
    }.items():
        cells = []
        for gpu, file in RUNS.values():
            run, profile = read_run(folder / "e2e", file), profile_of(folder, gpu)
            found = times(simulate(run, profile, **changes))
            cells += [_mean_error(run.measured[metric], found[metric]) for metric in METRICS]
        lines.append((what, *cells))
    head = ("error of the mean", *(f"{name} {title}" for name in RUNS for title in METRICS.values()))
    return table(head, lines).strip()


def decode_seconds(folder: Path) -> str:
    """Measured over predicted step time in seconds of pure decoding, by the number of sequences.

    Those are the last seconds of each run: nobody waits, no prompt is computed. Tokens of a second are
    predicted from the sequences and contexts that the requests' own times say, without host time.
    """
    bounds = (1, 8, 16, 32, 64, 128)
    lines = []
    for name, (gpu, file) in RUNS.items():
        run, profile = read_run(folder / "e2e", file), profile_of(folder, gpu)
        found: dict[int, list[float]] = {}
        for sequences, ratio in _seconds(run, profile, folder / "e2e" / f"{file}_timeseries.csv"):
            found.setdefault(int(np.searchsorted(bounds, sequences, side="right")), []).append(ratio)
        cells = [
            percent(float(np.mean(found[i])) - 1.0, sign=True) if i in found else "" for i in range(1, 6)
        ]
        lines.append((name, *cells))
    head = ("decode steps alone, measured over predicted", *(f"{a} to {b}" for a, b in pairwise(bounds)))
    return table(head, lines).strip()


def _seconds(run: Run, profile: Profile, ticks: Path) -> list[tuple[float, float]]:
    """(mean sequences, measured over predicted step) of each second of pure decoding."""
    clock = ProfileClock(profile, profile.models[0], run.limits)
    first_s = run.trace.arrival_s + run.measured["ttft_s"]
    last_s = run.trace.arrival_s + run.measured["e2e_s"]
    found = []
    for row in csv_rows(ticks, ("t", "prompt_throughput", "gen_throughput", "waiting")):
        end_s = float(row["t"])
        if float(row["prompt_throughput"]) or float(row["waiting"]) or end_s < first_s.max() + 1.0:
            continue
        tokens = sequences = 0.0
        for moment_s in end_s - 1.0 + (np.arange(20) + 0.5) / 20:
            running = (first_s <= moment_s) & (last_s > moment_s)
            count = int(running.sum())
            if count:
                share = ((moment_s - first_s) / (last_s - first_s))[running]
                context = run.trace.prompt_tokens[running] + share * run.trace.output_tokens[running]
                parts = clock.parts(Batch(count, round(float(context.sum())), outputs=count))
                tokens += count / (parts.total - parts.host) / 20
                sequences += count / 20
        if sequences >= 1:
            found.append((sequences, tokens / float(row["gen_throughput"])))
    return found


def read_run(folder: Path, file: str) -> Run:
    """Read a run's requests and set-up. Raises InputError if a file or column is missing."""
    names = ("arrival_s", "input_tokens", "output_tokens", "first_token_s", "last_token_s")
    rows = csv_rows(folder / f"{file}.csv.gz", names)
    columns = {name: np.asarray([float(row[name]) for row in rows]) for name in names}
    order = np.argsort(columns["arrival_s"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    meta = json.loads((folder / f"{file}_meta.json").read_text())
    told = meta["engine_kwargs"]
    output = columns["output_tokens"].astype(np.int64)
    trace = Trace(
        arrival_s=columns["arrival_s"],
        prompt_tokens=columns["input_tokens"].astype(np.int64),
        output_tokens=output,
        adapter=np.full(len(rows), BASE),
        name=file,
    )
    decode_s = columns["last_token_s"] - columns["first_token_s"]
    return Run(
        trace,
        {
            "ttft_s": columns["first_token_s"] - columns["arrival_s"],
            "tpot_s": decode_s / np.maximum(output - 1, 1),
            "e2e_s": columns["last_token_s"] - columns["arrival_s"],
        },
        EngineLimits(
            max_num_seqs=told["max_num_seqs"],
            max_num_batched_tokens=told["max_num_batched_tokens"],
            async_scheduling=True,
        ),
        meta.get("kv_cache", {}).get("num_gpu_blocks"),
    )


def profile_of(folder: Path, gpu: str) -> Profile:
    """The profile of a GPU from its tables."""
    return import_serving_sim(
        folder / "gpu",
        gpu,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        producer="validate_requests",
        models=("meta-llama/Llama-3.1-8B",),
    )


def simulate(
    run: Run, profile: Profile, *, mixed: bool = True, keeps: bool = True, epsilon: bool = True
) -> SimResult:
    """Replay a run in the simulator, perhaps without a part of the model.

    The run was timed inside the engine's process, so the front end is left out.
    """
    terms = profile.models[0]
    if not mixed:
        terms = terms.model_copy(update={"attn_mixed": None})
    if not epsilon:
        profile = profile.model_copy(update={"host": profile.host.model_copy(update={"epsilon_s": 0.0})})
    limits = run.limits.model_copy(update={"prefix_caching": keeps})
    blocks = run.kv_blocks or _kv_blocks(profile, limits.kv_block_tokens)
    replica = ReplicaSetup(
        limits=limits,
        clock=ProfileClock(profile, terms, limits),
        kv_blocks=blocks - 1,  # vLLM keeps one for padding
    )
    return simulate_fleet(FleetSetup(replica=replica), run.trace)


def _kv_blocks(profile: Profile, block_tokens: int) -> int:
    model = profile.models[0].model
    room = MEMORY_SHARE * profile.device.memory_bytes - model.weights_bytes - profile.memory.overhead_bytes
    return int(room // (model.kv_bytes_per_token * block_tokens))


def times(result: SimResult) -> dict[str, Floats]:
    """TTFT, TPOT and E2E of every request."""
    return {"ttft_s": result.ttft_s, "tpot_s": result.tpot_s, "e2e_s": result.e2e_s}


def _cell(measured: Floats, predicted: Floats, percentile: float, target: float) -> str:
    theirs, ours = np.percentile(measured, percentile), np.percentile(predicted, percentile)
    error = float(ours / theirs - 1.0)
    text = f"{theirs:.4g}, {ours:.4g} s ({percent(error, sign=True)})"
    return text if abs(error) <= target else f"**{text}**"


def _mean_error(measured: Floats, predicted: Floats) -> str:
    return percent(float(predicted.mean() / measured.mean() - 1.0), sign=True)


if __name__ == "__main__":
    main()
