"""Fuzzing guided by coverage: `python -m tests.fuzz.guided [--target NAME] [--inputs 100000]`.

atheris (libFuzzer for Python) keeps each input that reaches a new branch of `advisor` or `calibration` and
goes on from there. Each target has a process of its own. Faults are listed at the end; exit code 1 with any.
`--write` puts the figures into docs/security.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks._page import replace_block
from tests.fuzz.job import Job, Report

LACKS: Final = "" if find_spec("atheris") else "no atheris; it has wheels for Linux on x86-64 alone"
ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "security.md"
_MEMORY: Final = "/dev/shm"
_STATUS: Final = re.compile(r"^#(\d+)\s.*\bcov: (\d+) ft: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """What a target's run came to. `edges` of instrumented code, `features` also count how often."""

    target: str
    inputs: int
    edges: int
    features: int
    report: Report
    folder: Path


def run(
    names: Sequence[str],
    *,
    inputs: int,
    seed: int,
    seconds: int,
    folder: Path,
    targets: str = "tests.fuzz.targets",
) -> Iterator[Found]:
    """Fuzz targets one after the other, in other processes.

    Args:
        names: of TARGETS of the module `targets`.
        inputs: of each.
        seed: libFuzzer's.
        seconds: of each at most; 0: no limit.
        folder: for contents that show a fault, corpora and logs.
        targets: module that holds them.

    Raises:
        RuntimeError: the fuzzer did not begin.
    """
    places = {name: folder / re.sub(r"\W+", "-", name) for name in names}
    jobs = []
    for name, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        jobs.append(asdict(Job(name, inputs, seed, seconds, str(place))))
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    program = [sys.executable, "-m", "tests.fuzz.fuzzer", targets, str(folder / "jobs.json")]
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            done = json.loads(line)
            yield _found(done["target"], places[done["target"]], done["code"])
    if process.returncode:
        raise RuntimeError(f"the fuzzer broke:\n{(folder / 'log.txt').read_text(encoding='utf-8')[-2000:]}")


def _found(name: str, place: Path, code: int) -> Found:
    """What a job left."""
    log = (place / "log.txt").read_text(encoding="utf-8", errors="replace")
    states = _STATUS.findall(log)
    if not states:
        raise RuntimeError(f"{name}: the fuzzer did not begin:\n{log[-2000:]}")
    report = Report(**json.loads((place / "report.json").read_text(encoding="utf-8")))
    if code:  # out of memory, a hang, or a fault of native code: libFuzzer's own words
        told = "\n".join(line for line in log.splitlines() if "ERROR" in line or "SUMMARY" in line)
        report.faults.append({"kind": f"ended with {code}", "content": "", "told": told})
    count, edges, features = map(int, states[-1])
    return Found(name, max(count, report.inputs), edges, features, report, place)


def table(rows: Sequence[Found]) -> str:
    """The rows as a table of docs/security.md."""
    lines = [
        "| target | inputs | read | kinds of sentences | edges | features | slowest (CPU) | faults |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        report = row.report
        cells = [
            row.target,
            *(f"{count:,}" for count in (row.inputs, report.returned, report.sentences, row.edges)),
            f"{row.features:,}",
            f"{1e3 * report.slowest_s:.0f} ms",
            str(len(report.faults)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz all targets, or those named; 1: there are faults."""
    from tests.fuzz.targets import TARGETS

    parser = _options(list(TARGETS))
    options = parser.parse_args(arguments)
    if LACKS:
        parser.error(LACKS)
    memory = _MEMORY if Path(_MEMORY).is_dir() else None
    folder = Path(options.folder or tempfile.mkdtemp(prefix="fuzz-", dir=memory))
    rows = []
    for row in run(
        options.target or list(TARGETS),
        inputs=options.inputs, seed=options.seed, seconds=options.seconds, folder=folder,
    ):  # fmt: skip
        rows.append(row)
        print(
            f"{row.target}: {row.inputs:,} inputs, {row.edges:,} edges, "
            f"slowest {1e3 * row.report.slowest_s:.0f} ms"
        )
        for fault in row.report.faults:
            print(f"--- {fault['kind']}\n{fault['told']}    {row.folder}/{fault['content']}")
        sys.stdout.flush()
    if options.write:
        replace_block(PAGE, "guided", table(rows))
    return 1 if any(row.report.faults for row in rows) else 0


def _options(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--target", action="append", choices=names, help="repeatable; all if left out")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seconds", type=int, default=0, help="of each target at most; 0: no limit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="for contents, corpora, logs; a temporary one")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/security.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
