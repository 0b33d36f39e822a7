"""A result file of whichever load generator wrote it: its runs, and its requests where they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from advisor.errors import InputError, sentences_of
from advisor.files import read_text
from calibration.results import aiperf, aiperf_sums, bench, guidellm
from calibration.results.measured import MeasuredRun, load_runs
from calibration.results.requests import Answer

_EXCESS: Final = "is nested too deeply or holds a number of thousands of digits; allowed: a result file"
KINDS: Final = ("vllm-bench", "sglang", "guidellm", "aiperf")
_KINDS: Final = "a result of vllm bench serve, SGLang's bench_serving, guidellm (version 2) or aiperf"


@dataclass(frozen=True, slots=True)
class Found:
    """One run of a file."""

    run: MeasuredRun
    answers: list[Answer] | None  # None: the file does not tell them


def read_results(path: Path, kind: str | None = None, unit: bench.Unit | None = None) -> list[Found]:
    """Read every run of a file.

    Args:
        path: JSON, or JSON lines.
        kind: vllm-bench, sglang, guidellm or aiperf; None: by the keys.
        unit: of latencies whose names do not tell (see `bench`).

    Raises:
        InputError: no JSON, an unknown kind or version, a unit that is not known or cannot be right.
    """
    objects = _objects(path)
    name = path.name
    readers: dict[str, tuple[Callable[[dict[str, Any]], bool], Callable[[], list[Found]]]] = {
        "guidellm": (guidellm.is_guidellm, lambda: _guidellm(objects[0], name)),
        "aiperf": (
            lambda raw: aiperf.is_aiperf(raw) or aiperf_sums.is_summary(raw),
            lambda: _aiperf(objects, name),
        ),
        "sglang": (
            lambda raw: bench.is_bench(raw) and bench.is_sglang(raw),
            lambda: _bench(objects, name, unit),
        ),
        "vllm-bench": (bench.is_bench, lambda: _bench(objects, name, unit)),
    }
    for known, (fits, read) in readers.items():
        if fits(objects[0]) and (kind in (None, known) or (kind, known) == ("vllm-bench", "sglang")):
            if kind == "vllm-bench" and known == "sglang":
                break
            try:
                return read()
            except ValidationError as error:  # figures that a run cannot have
                raise InputError(sentences_of(name, MeasuredRun, error)) from None
    keys = ", ".join(list(objects[0])[:6])
    wanted = _KINDS if kind is None else f"a result of {kind}"
    raise InputError(f"{path}: has the keys {keys}, ...; allowed: {wanted}.")


def read_any(path: Path, unit: bench.Unit | None = None) -> list[Found]:
    """Read a load generator's file, or runs that `calibrate import` kept.

    Raises:
        InputError: as `read_results`.
    """
    objects = _objects(path)
    if len(objects) == 1 and "runs" in objects[0] and "producer" in objects[0]:
        return [Found(run, None) for run in load_runs(path).runs]
    return read_results(path, None, unit)


def _bench(objects: list[dict[str, Any]], name: str, unit: bench.Unit | None) -> list[Found]:
    found = []
    for line, raw in enumerate(objects, 1):
        source = name if len(objects) == 1 else f"{name}, line {line}"
        if not bench.is_bench(raw):
            raise InputError(f"{source}: is another kind of object than the first; allowed: one kind a file.")
        found.append(Found(bench.run_of(raw, source, unit), bench.answers_of(raw, source)))
    return found


def _guidellm(raw: dict[str, Any], name: str) -> list[Found]:
    runs = guidellm.runs_of(raw, name)
    return [Found(run, guidellm.answers_of(raw, index, run.name)) for index, run in enumerate(runs)]


def _aiperf(objects: list[dict[str, Any]], name: str) -> list[Found]:
    if not aiperf.is_aiperf(objects[0]):
        return [Found(aiperf_sums.run_of(objects[0], name), None)]
    answers = aiperf.answers_of(objects, name)
    return [Found(aiperf.run_of(answers, name), answers)]


def _objects(path: Path) -> list[dict[str, Any]]:
    """One object, or one a line."""
    text = read_text(path)
    try:
        whole = json.loads(text)
        found = whole if isinstance(whole, list) else [whole]
    except json.JSONDecodeError:
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}: line {number}: not valid JSON: {error.msg}.") from None
                except (ValueError, RecursionError):
                    raise InputError(f"{path}: line {number}: {_EXCESS}.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: {_EXCESS}.") from None
    if not found or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{path}: holds no JSON objects; allowed: {_KINDS}.")
    return found
