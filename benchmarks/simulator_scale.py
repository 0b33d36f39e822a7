"""Time and memory of the simulator from ten thousand requests to ten million, and of fleets of many replicas.

    python -m benchmarks.simulator_scale [--largest 1000000] [--only NAME] [--write]

The step time and the lengths are those of `python -m benchmarks.simulator_speed`, at 80 % of capacity unless
a line says otherwise. Each line is a process of its own; its seconds are those of its CPU, its memory is the
peak of the process less what it held before the run, trace not counted (read from /proc: Linux only).
--write puts the table into docs/performance.md. Ten million requests want some 10 GiB and minutes a line.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.sim.fleet import simulate_fleet
from advisor.sim.setup import Router
from benchmarks._page import ROOT, replace_block, table
from benchmarks.simulator_speed import Case, base_case, everything_case, trace_of

PAGE = ROOT / "docs" / "performance.md"
DAY_S = 86_400.0
_SWING = 0.6  # of the mean rate, up at noon and down at midnight


@dataclass(frozen=True)
class Line:
    """What is simulated."""

    name: str
    requests: int
    replicas: int
    everything: bool = False
    day: bool = False  # one day with a swing, however low that load is

    @property
    def case(self) -> Case:
        """The fleet, behind a router that looks at the state where there is more than one replica."""
        case = everything_case() if self.everything else base_case()
        router: Router = "least-outstanding" if self.replicas > 1 else "round-robin"
        return replace(case, fleet=replace(case.fleet, replicas=self.replicas, router=router))


@dataclass(frozen=True)
class Cost:
    """What it took."""

    cpu_s: float
    grown_bytes: int
    steps: int
    tokens: int
    end_s: float


def lines(largest: int) -> list[Line]:
    """Ten times as many requests from line to line, then wide fleets."""
    tens = [10**power for power in range(4, 8) if 10**power <= largest]
    one = [Line(f"one replica, base, {count:,}", count, 1) for count in tens]
    every = [
        Line(f"one replica, everything, {count:,}", count, 1, everything=True)
        for count in tens
        if count <= 1_000_000
    ]
    wide = [
        Line(f"{replicas:,} replicas, base, {min(largest, 1_000_000):,}", min(largest, 1_000_000), replicas)
        for replicas in (4, 64, 1_000)
    ]
    day = Line(f"64 replicas, base, a day of {largest:,} with a swing", largest, 64, day=True)
    return [*one, *every, *wide, day]


def measure(line: Line) -> Cost:
    """Simulate in this process."""
    alone = replace(line.case, fleet=replace(line.case.fleet, replicas=1))
    burst = simulate_fleet(alone.fleet, trace_of(alone, 4_000, 0.0))
    trace = trace_of(line.case, line.requests, 0.8 * line.replicas * 4_000 / burst.end_s)
    if line.day:
        trace = replace(trace, arrival_s=day_arrivals_s(line.requests))
    before = _begin_of_peak()
    start_ns = time.process_time_ns()
    result = simulate_fleet(line.case.fleet, trace)
    cpu_s = (time.process_time_ns() - start_ns) / 1e9
    grown = _memory("VmHWM") - before
    assert result.done.all()
    tokens = int(result.output_tokens.sum() + result.prompt_tokens.sum())
    return Cost(cpu_s, grown, result.steps, tokens, result.end_s)


def _begin_of_peak() -> int:
    """Forget the peak of memory so far (Linux); returns the bytes held now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(field: str) -> int:
    """Bytes of a line of the kernel's account of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field))


def day_arrivals_s(requests: int) -> NDArray[np.float64]:
    """Arrivals of a Poisson process whose rate is 1 - swing · cos(2π t / day) of its mean."""
    t_s = np.linspace(0.0, DAY_S, 8_641)
    turn = 2.0 * np.pi / DAY_S
    expected = t_s / DAY_S - _SWING * np.sin(turn * t_s) / (turn * DAY_S)
    return np.interp(np.sort(np.random.default_rng(2).random(requests)), expected, t_s)


def in_own_process(line: Line) -> Cost:
    """Simulate in another process, whose memory is its own."""
    command = [sys.executable, "-m", "benchmarks.simulator_scale", "--one", json.dumps(asdict(line))]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return Cost(**json.loads(done.stdout))


def row(line: Line, cost: Cost) -> tuple[str, ...]:
    """One row of the table."""
    return (
        line.name,
        f"{cost.cpu_s:,.1f} s",
        f"{line.requests / cost.cpu_s:,.0f}",
        f"{cost.tokens / cost.cpu_s / 1e6:,.0f} M",
        f"{cost.steps / line.requests:.1f}",
        f"{cost.grown_bytes / line.requests:,.0f}",
        f"{cost.end_s / 3600:,.2f} h",
    )


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(asdict(measure(Line(**json.loads(given.one))))))
        return
    rows = []
    for line in lines(given.largest):
        if given.only in line.name:
            rows.append(row(line, in_own_process(line)))
            sys.stderr.write("  ".join(rows[-1]) + "\n")
    head = ("what", "CPU", "requests/s", "tokens/s", "steps/request", "bytes/request", "simulated")
    text = table(head, rows)
    sys.stdout.write(text)
    if given.write:
        replace_block(PAGE, "scale", text)


if __name__ == "__main__":
    main()
