"""How a sweep of 1,000 points scales from one core to two.

    python -m benchmarks.sweep_scaling [--points 1000] [--write]

Whole commands are timed, program start included, in one run and in turn: one process, two processes, and
two separate programs at once with half of the points each, which is what this machine's two cores can do at
best. The ratio counts; seconds are of the machine at hand. --write puts the table into docs/performance.md.
Refuses to run on fewer than two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._page import ROOT, replace_block, table

PAGE = ROOT / "docs" / "performance.md"
REPEATS = 2
TARGET = 1.8
GRID = (
    "{{load: {loads}, adapters: [4, 8, 16, 32], ranks: [8, 16, 32, 64, 128], max_loras: [4, 8, 16, 32, 64]}}"
)
A_LOAD = 4 * 5 * 5  # points at one load
SCENARIO = """\
schema_version: 1
model: Llama-3.1-8B
adapters: {count: 8, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 6 req/s}
  prompt_tokens: {kind: lognormal, median: 500, p95: 2000}
  output_tokens: {kind: lognormal, median: 100, p95: 400}
  duration: 6min
objective: {preset: server}
"""
STUDY = """\
schema_version: 1
scenario: scenario.yaml
choice: {way: multi-lora, device: H100-80-SXM, replicas: 1}
grid: """


def study(folder: Path, name: str, loads: Sequence[float]) -> Path:
    """Write a study over these loads; returns its file."""
    (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(STUDY + GRID.format(loads=list(loads)) + "\n", encoding="utf-8")
    return file


def command(file: Path, jobs: int) -> list[str]:
    """The sweep of a study, from nothing."""
    out = file.with_suffix(".parquet")
    return [
        *(sys.executable, "-m", "advisor", "sweep", str(file), "--out", str(out)),
        *("--jobs", str(jobs), "--fresh", "--quiet"),
    ]  # fmt: skip


def wall_s(commands: Sequence[list[str]]) -> float:
    """Wall seconds of commands that run at once."""
    start_ns = time.perf_counter_ns()
    running = [subprocess.Popen(one, cwd=ROOT, stdout=subprocess.DEVNULL) for one in commands]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"a sweep failed with exit codes {codes}")
    return (time.perf_counter_ns() - start_ns) / 1e9


def rows(points: int) -> list[tuple[str, str, str, str]]:
    """What was timed, median seconds, ratio to one process, target."""
    loads = [round(0.25 + 0.25 * place, 2) for place in range(points // A_LOAD)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = study(folder, "whole", loads)
        halves = [study(folder, f"half{part}", loads[part::2]) for part in (0, 1)]
        ways = {
            "one process": [command(whole, 1)],
            "two processes": [command(whole, 2)],
            "two programs at once, half of the points each": [command(half, 1) for half in halves],
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(REPEATS):
            for way, commands in ways.items():
                found[way].append(wall_s(commands))
    one = statistics.median(found["one process"])
    targets = {"two processes": f"{TARGET}"}
    return [
        (
            f"`advisor sweep`, {len(loads) * A_LOAD:,} points, {way}",
            f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})",
            f"{one / statistics.median(seconds):.2f}",
            targets.get(way, ""),
        )
        for way, seconds in found.items()
    ]


def main() -> None:
    """Time, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000, help="a multiple of 200")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        raise SystemExit(f"this process may use {cores} core; allowed: two or more. Nothing was measured.")
    if args.points < 2 * A_LOAD or args.points % (2 * A_LOAD):
        raise SystemExit(f"--points is {args.points}; allowed: a multiple of {2 * A_LOAD}.")
    text = table((f"what ({cores} cores)", f"median of {REPEATS}", "ratio", "target"), rows(args.points))
    sys.stdout.write(text)
    if args.write:
        replace_block(PAGE, "sweep", text)


if __name__ == "__main__":
    main()
