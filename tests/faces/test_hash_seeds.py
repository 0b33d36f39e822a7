"""The same question has the same bytes in every process, whatever order Python's sets and hashes take there.

Also with Python 3.12 and 3.13 beside this one, where the machine has them with the packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENARIO = """\
schema_version: 1
name: same bytes
model: Llama-3.1-8B
adapters:
  count: 6
  ranks: [{rank: 8, share: 0.5}, {rank: 16, share: 0.5}]
  popularity: {kind: zipf, exponent: 1.0}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 2 req/s}
  prompt_tokens: {kind: lognormal, median: 200, p95: 900, maximum: 2000}
  output_tokens: {kind: fixed, tokens: 40}
  duration: 2min
objective:
  slos: [{metric: ttft, percentile: 95, limit: 2s}]
devices: [L40S]
search: {requests: 200, max_replicas: 4}
"""
CHOICE = (
    "--way",
    "multi-lora",
    "--device",
    "L40S",
    "--replicas",
    "1",
    "--json",
    "--requests",
    "requests.parquet",
)
HASH_SEEDS = ("0", "4242")


def pythons() -> tuple[str, ...]:
    """This interpreter, and the newer ones on PATH that can import what the advisor needs."""
    found = [sys.executable]
    for name in ("python3.12", "python3.13"):
        path = shutil.which(name)
        program = "import numpy, pyarrow, pydantic, click, yaml"
        if path and subprocess.run([path, "-c", program], capture_output=True, check=False).returncode == 0:
            found.append(path)
    return tuple(found)


def files_of(folder: Path, python: str, hash_seed: str) -> dict[str, bytes]:
    """What `recommend` and `simulate` print and write in a process of that hash seed."""
    folder.mkdir()
    (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    for name, arguments in {
        "recommend": ("--json", "--jobs", "1", "--report", "report.html", "--report", "report.md"),
        "simulate": CHOICE,
    }.items():
        command = [python, "-m", "advisor", name, "s.yaml", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        (folder / f"{name}.json").write_bytes(done.stdout)
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_order_of_hashes(tmp_path: Path) -> None:
    first: dict[str, bytes] = {}
    for number, python in enumerate(pythons()):
        for hash_seed in HASH_SEEDS if not number else HASH_SEEDS[:1]:
            files = files_of(tmp_path / f"{number}-{hash_seed}", python, hash_seed)
            first = first or files
            differ = [name for name in first | files if files.get(name) != first.get(name)]
            assert not differ, f"{python} with PYTHONHASHSEED={hash_seed} writes another {', '.join(differ)}"
    assert first.keys() >= {"recommend.json", "report.html", "report.md", "simulate.json", "requests.parquet"}
    assert any(name.startswith("report-figures/") for name in first)
