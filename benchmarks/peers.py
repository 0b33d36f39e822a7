"""Other simulators beside ours, as ratios within one run.

    python -m benchmarks.peers [--peer NAME ...] [--requests 4000] [--rate 14] [--environments DIR] [--write]

Each is installed from its package into an environment of its own (a temporary one, or in --environments).
Event loops (vllm-sr-sim, vidur) are compared on one trace and one replica, each in a process of its own and
in turn with ours, by the CPU seconds of the loop alone. aiconfigurator has no event loop: there whole
commands are compared, its search for the fewest GPUs with ours. --write puts both tables into
docs/performance.md.

What differs is said in the tables: a request-level queue does far less work than a step-level simulator, and
a steady-state estimate knows no queue. Vidur runs here with an affine step time in place of its predictors,
as ours does in the simulator's benchmarks.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.sim.fleet import simulate_fleet
from advisor.trace.trace import Trace
from benchmarks._page import ROOT, replace_block, table
from benchmarks.simulator_speed import base_case, trace_of

PAGE = ROOT / "docs" / "performance.md"
EXAMPLE = ROOT / "data" / "scenarios" / "platform-40-adapters.yaml"
EVENT_LOOPS = {
    "vllm-sr-sim": "requests in a queue with slots; no steps",
    "vidur": "every step, one event or more each; vLLM's scheduler",
}
PACKAGES = (*EVENT_LOOPS, "aiconfigurator")
SEARCHES = "mean lengths on one device in steady state; no adapters, no queue"
REPEATS = 3
_LONGEST_PROMPT, _LONGEST_ANSWER = 3_000, 1_000


@dataclass(frozen=True)
class Peer:
    """Another simulator, and how it is started."""

    name: str
    python: Path
    differs: str


def trace_to_share(requests: int, rate_rps: float) -> Trace:
    """Poisson arrivals and lengths that every simulator takes: prompt and answer within 4,096 tokens."""
    trace = trace_of(base_case(), requests, rate_rps)
    return replace(
        trace,
        prompt_tokens=np.minimum(trace.prompt_tokens, _LONGEST_PROMPT),
        output_tokens=np.minimum(trace.output_tokens, _LONGEST_ANSWER),
    )


def write_csv(trace: Trace, file: Path) -> None:
    """The trace in the columns that Vidur replays, all on the day that it takes by default."""
    with file.open("w", newline="", encoding="ascii") as lines:
        rows = csv.writer(lines)
        rows.writerow(("Date", "Time", "PromptTokenCount", "CompletionTokenCount"))
        columns = (trace.arrival_s, trace.prompt_tokens, trace.output_tokens)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            rows.writerow(("2023-08-21", *row))


def ours_s(trace: Trace) -> float:
    """CPU seconds of our simulator."""
    start_ns = time.process_time_ns()
    result = simulate_fleet(base_case().fleet, trace)
    assert result.done.all()
    return (time.process_time_ns() - start_ns) / 1e9


def theirs(peer: Peer, file: Path) -> dict[str, float | str]:
    """CPU seconds of a peer, requests that it finished, its version.

    Raises:
        SystemExit: it failed; its last lines are shown.
    """
    runs = Path(__file__).with_name("_peer_runs.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    command = [str(peer.python), str(runs), peer.name, str(file)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=file.parent
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise SystemExit(f"{peer.name} failed with exit code {done.returncode}:\n{last}")
    answer: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def installed(package: str, folder: Path) -> Path:
    """The programs of an environment with a package, made where it is missing."""
    programs = folder / package / "bin"
    if not (programs / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / package)], check=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, package], check=True)
    return programs


def rows(peers: list[Peer], requests: int, rate_rps: float) -> list[tuple[str, ...]]:
    """Median CPU seconds of each, in turn, and its ratio to ours."""
    trace = trace_to_share(requests, rate_rps)
    own: list[float] = []
    other: dict[str, list[float]] = {peer.name: [] for peer in peers}
    finished: dict[str, tuple[float | str, float | str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.csv"
        write_csv(trace, file)
        for _ in range(REPEATS):
            own.append(ours_s(trace))
            for peer in peers:
                answer = theirs(peer, file)
                other[peer.name].append(float(answer["cpu_s"]))
                finished[peer.name] = answer["finished"], answer["version"]
    mine_s = statistics.median(own)
    found: list[tuple[str, ...]] = [
        ("this simulator", f"{mine_s:.2f} s", f"{requests / mine_s:,.0f}", "1", "every step, token, cause")
    ]
    for peer in peers:
        theirs_s = statistics.median(other[peer.name])
        count, release = finished[peer.name]
        name = f"{peer.name} {release}, {count:,} of {requests:,} finished"
        rate = f"{float(count) / theirs_s:,.0f}"
        found.append((name, f"{theirs_s:.2f} s", rate, f"{theirs_s / mine_s:.1f}", peer.differs))
    return found


def search_rows(programs: Path) -> list[tuple[str, ...]]:
    """Wall seconds of two searches for the fewest GPUs, as whole commands in turn."""
    ours = [sys.executable, "-m", "advisor", "recommend", str(EXAMPLE), "--json", "--jobs", "1"]
    answer = json.loads(subprocess.run(ours, check=True, capture_output=True, cwd=ROOT).stdout)
    load = answer["workload"]
    theirs = [
        *(str(programs / "aiconfigurator"), "cli", "recommend", "--no-color"),
        *("--model-path", "meta-llama/Meta-Llama-3.1-8B", "--system", "h100_sxm", "--backend", "vllm"),
        *("--target-request-rate", f"{load['rate_rps']:.2f}", "--ttft", "200", "--tpot", "50"),
        *("--isl", f"{load['prompt_tokens_mean']:.0f}", "--osl", f"{load['output_tokens_mean']:.0f}"),
    ]
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for _ in range(REPEATS):
        for name, command in (("ours", ours), ("theirs", theirs)):
            start_ns = time.perf_counter_ns()
            subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=offline)
            seconds[name].append((time.perf_counter_ns() - start_ns) / 1e9)
    mine_s, other_s = statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])
    options, simulations = len(answer["options"]), answer["simulations"]
    found = f"{options} options on every allowed device, 40 adapters, {simulations} simulations"
    return [
        ("`advisor recommend` on the example, one process", f"{mine_s:.1f} s", "1", found),
        ("`aiconfigurator cli recommend`", f"{other_s:.1f} s", f"{other_s / mine_s:.1f}", SEARCHES),
    ]


def text_of(given: argparse.Namespace) -> str:
    """Both tables."""
    parts = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.environments or Path(temporary)
        peers = [
            Peer(name, installed(name, folder) / "python", EVENT_LOOPS[name])
            for name in given.peer
            if name in EVENT_LOOPS
        ]
        if peers:
            what = f"event loop: {given.requests:,} requests at {given.rate:g}/s, one replica"
            head = (what, f"CPU, median of {REPEATS}", "requests/s", "times ours", "what it simulates")
            parts.append(table(head, rows(peers, given.requests, given.rate)))
        if "aiconfigurator" in given.peer:
            what = f"wall, median of {REPEATS}"
            parts.append(
                table(
                    ("whole command", what, "times ours", "what it looks at"),
                    search_rows(installed("aiconfigurator", folder)),
                )
            )
    return "\n".join(parts)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", nargs="+", choices=PACKAGES, default=PACKAGES)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rate", type=float, default=14.0, help="requests a second")
    parser.add_argument("--environments", type=Path, help="folder where the packages are, or are installed")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = text_of(given)
    sys.stdout.write(text)
    if given.write:
        replace_block(PAGE, "peers", text)


if __name__ == "__main__":
    main()
