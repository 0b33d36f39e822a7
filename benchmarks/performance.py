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
from pathlib import Path
from tempfile import TemporaryDirectory

from advisor.spec.scenario import load_scenario, scenario_to_yaml
from advisor.spec.speculation import Draft, Speculation
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


def many_options(folder: Path) -> Path:
    """The example with more devices and draft lengths: hundreds of settings."""
    scenario = load_scenario(EXAMPLE)
    larger = scenario.model_copy(
        update={
            "devices": (*scenario.devices, "H200-SXM", "RTX-PRO-6000-Server"),
            "speculation": Speculation(drafts=(Draft(method="ngram"),), draft_lengths=(1, 3, 5)),
        }
    )
    path = folder / "many.yaml"
    path.write_text(scenario_to_yaml(larger), encoding="utf-8")
    return path


def rows() -> list[tuple[str, str, str]]:
    """What was timed, the figure, and the target."""
    help_s, _ = wall_s(["--help"], 5)
    both_s, out = wall_s(["recommend", str(EXAMPLE), "--json", "--jobs", "2"], 3)
    one_s, _ = wall_s(["recommend", str(EXAMPLE), "--json", "--jobs", "1"], 1)
    what = _counts(out)
    with TemporaryDirectory() as folder:
        many_s, out = wall_s(["recommend", str(many_options(Path(folder))), "--json", "--jobs", "2"], 1)
    return [
        ("`advisor --help`", f"{help_s:.2f} s", "0.4 s"),
        (f"`advisor recommend` on the example, two processes ({what})", f"{both_s:.1f} s", "10 s"),
        ("the same, one process", f"{one_s:.1f} s", ""),
        (f"six devices, three draft lengths, two processes ({_counts(out)})", f"{many_s:.1f} s", "30 s"),
    ]


def _counts(out: str) -> str:
    """How much an answer in JSON looked at."""
    answer = json.loads(out)
    counts = (len(answer["options"]), answer["candidates"], answer["simulations"])
    return "{} options, {} settings, {} simulations".format(*counts)


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
