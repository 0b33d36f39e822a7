"""The same question has the same bytes in every process, whatever order Python's sets and hashes take there.

LORA_ADVISOR_PYTHONS names other Pythons to hold beside this one: paths, parted as in PATH, each with the
packages of constraints.txt. A Python that is named must work.
"""

from __future__ import annotations

import os
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
STUDY = """\
schema_version: 1
name: same bytes
scenario: s.yaml
choice: {way: multi-lora, device: L40S, replicas: 1}
grid: {load: [0.5, 1.0], max_loras: [2, 6]}
"""
CHOICE = ("--way", "multi-lora", "--device", "L40S", "--replicas", "1")
COMMANDS = {
    "recommend": (
        *("s.yaml", "--json", "--jobs", "1"),
        *("--report", "report.html", "--report", "report.md"),
    ),
    "simulate": ("s.yaml", *CHOICE, "--json", "--requests", "requests.parquet"),
    "explain": ("s.yaml", *CHOICE, "--json"),
    "sweep": ("study.yaml", "--jobs", "2", "--out", "grid.parquet"),
}
WATCHED = """\
import builtins, sys

plain, found = builtins.sum, set()

def watched(values, start=0):
    values, caller = list(values), sys._getframe(1)
    if caller.f_globals["__name__"].startswith("advisor."):
        found.add("watched a sum")
        if any(type(value) is float for value in values):
            found.add(f"floats at {caller.f_code.co_filename}:{caller.f_lineno}")
    return plain(values, start)

builtins.sum = watched
from advisor.cli import main

try:
    main()
finally:
    print(*sorted(found), sep="\\n", file=sys.stderr)
"""
HASH_SEEDS = ("0", "4242")
VARIABLE = "LORA_ADVISOR_PYTHONS"


def pythons() -> tuple[str, ...]:
    """This interpreter, and those that LORA_ADVISOR_PYTHONS names."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return (sys.executable, *filter(None, named))


def check_usable(python: str) -> None:
    """Fail, with what it said, unless that Python starts and has what the advisor imports."""
    program = "import altair, click, joblib, numpy, pyarrow, pydantic, scipy, simpy, vl_convert, yaml"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.fail(f"{VARIABLE} names {python}, which does not start: {error}")
    assert done.returncode == 0, f"{VARIABLE} names {python}, which lacks a package: {done.stderr}"


def files_of(folder: Path, python: str, hash_seed: str) -> dict[str, bytes]:
    """What each command of COMMANDS prints and writes in a process of that Python and hash seed."""
    folder.mkdir()
    (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    for name, arguments in COMMANDS.items():
        command = [python, "-m", "advisor", name, *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        (folder / f"{name}.out").write_bytes(done.stdout)
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of the files that are not the same in both, or missing in one."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.slow
def test_bytes_depend_neither_on_the_order_of_hashes_nor_on_the_python(tmp_path: Path) -> None:
    first = files_of(tmp_path / "first", sys.executable, HASH_SEEDS[0])
    assert first.keys() >= {f"{name}.out" for name in COMMANDS}
    assert first.keys() >= {"report.html", "report.md", "requests.parquet", "grid.parquet"}
    assert any(name.startswith("report-figures/") for name in first)
    for number, python in enumerate(pythons()):
        check_usable(python)
        files = files_of(tmp_path / f"{number}", python, HASH_SEEDS[1])
        names = differing(first, files)
        assert not names, f"{python} with PYTHONHASHSEED={HASH_SEEDS[1]} writes another {', '.join(names)}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("recommend", "s.yaml", "--json", "--jobs", "1", "--sure", "2", "--report", "report.html"),
        ("explain", "s.yaml", *CHOICE, "--json"),
        ("breakeven", "s.yaml", "--json", "--jobs", "1", "--draws", "1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_float_goes_through_the_sum_that_differs_between_pythons(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """From 3.12 on `sum` of floats carries the rounding along: other last digits than before."""
    program = tmp_path / "watched.py"
    program.write_text(WATCHED, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    command = [sys.executable, str(program), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "watched a sum" in done.stderr
    assert "floats at" not in done.stderr, done.stderr


def test_a_python_that_is_named_and_cannot_run_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    absent = str(tmp_path / "python")
    monkeypatch.setenv(VARIABLE, os.pathsep.join((sys.executable, absent)))
    assert pythons() == (sys.executable, sys.executable, absent)
    with pytest.raises(pytest.fail.Exception, match="does not start"):
        check_usable(absent)
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    with pytest.raises(AssertionError, match="lacks a package"):
        check_usable(str(bare))
