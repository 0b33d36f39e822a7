"""How fast the advisor is: the answer to the shipped example, the command line's start, the simulator.

    python -m benchmarks.performance [--write]

Wall seconds are the median of several runs on the machine at hand; then follows the table of
`python -m benchmarks.simulator_speed`. --write puts both into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks._page import ROOT, replace_block, table

EXAMPLE = ROOT / "data" / "scenarios" / "platform-40-adapters.yaml"
PAGE = ROOT / "docs" / "performance.md"


def wall_s(arguments: list[str], repeats: int) -> tuple[float, str]:
    """Median wall seconds of a command of this environment, and what its last run printed."""
    seconds, out = [], ""
    for _ in range(repeats + 1):
        start = time.perf_counter_ns()
        command = [sys.executable, "-m", "advisor", *arguments]
        done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
        seconds.append((time.perf_counter_ns() - start) / 1e9)
        out = done.stdout.decode()
    return statistics.median(seconds[1:]), out


def rows() -> list[tuple[str, str, str]]:
    """What was timed, the figure, and the target."""
    help_s, _ = wall_s(["--help"], 5)
    both_s, out = wall_s(["recommend", str(EXAMPLE), "--json", "--jobs", "2"], 3)
    one_s, _ = wall_s(["recommend", str(EXAMPLE), "--json", "--jobs", "1"], 1)
    answer = json.loads(out)
    counts = (len(answer["options"]), answer["candidates"], answer["simulations"])
    what = "{} options, {} settings, {} simulations".format(*counts)
    return [
        ("`advisor --help`", f"{help_s:.2f} s", "0.4 s"),
        (f"`advisor recommend` on the example, two processes ({what})", f"{both_s:.1f} s", "10 s"),
        ("the same, one process", f"{one_s:.1f} s", ""),
    ]


def main() -> None:
    """Time, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    answers = table((f"what ({os.cpu_count()} cores)", "measured", "target"), rows())
    sys.stdout.write(answers)
    speed = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulator_speed"], capture_output=True, check=True, cwd=ROOT
    ).stdout.decode()
    sys.stdout.write(speed)
    if write:
        replace_block(PAGE, "answers", answers)
        replace_block(PAGE, "simulator", f"```\n{speed.strip()}\n```")


if __name__ == "__main__":
    main()
