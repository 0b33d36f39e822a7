"""Measured runs from a table of one's own: CSV, JSONL or Parquet, one row a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from advisor.errors import InputError
from advisor.trace.formats import FORMATS, Layout
from advisor.trace.table import Table, read_table
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
from calibration.results.record import is_number

_METRICS: Final = ("ttft", "tpot", "itl", "e2e")
_STATS: Final = {"mean": "mean", "p50": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
_UNITS: Final = {"s": 1.0, "ms": 1e-3}
_NUMBERS: Final[dict[str, tuple[str, ...]]] = {
    "completed": ("completed_requests",),
    "failed": (),
    "duration_s": ("duration",),
    "mean_prompt_tokens": (),
    "total_prompt_tokens": ("total_input_tokens",),
    "mean_output_tokens": (),
    "total_output_tokens": (),
    "request_rate_rps": (),
    "max_concurrency": (),
    "adapters": ("num_adapters",),
    "max_loras": (),
    "max_lora_rank": (),
    "tensor_parallel": ("tp_size",),
}
"""Our numbers, and what else files call them. `input_tokens` may be a mean or a sum: it must be mapped."""
_TEXTS: Final[dict[str, tuple[str, ...]]] = {"name": ("case", "id"), "model": ()}
_LATENCIES: Final[dict[str, tuple[str, ...]]] = {
    f"{metric}_{stat}_{unit}": (f"{word}_{metric}_{unit}",)
    for metric in _METRICS
    for stat, word in _STATS.items()
    for unit in _UNITS
}
FIELDS: Final = {**_TEXTS, **_NUMBERS, **_LATENCIES}


@dataclass(frozen=True, slots=True)
class RunsTable:
    """The runs of a table, and why other rows are left out: (line, reason)."""

    runs: tuple[MeasuredRun, ...]
    left_out: tuple[tuple[int, str], ...]


def read_runs_table(
    path: Path, columns: Mapping[str, str] | None = None, where: Mapping[str, str] | None = None
) -> RunsTable:
    """Read every row that `where` admits.

    Args:
        path: the table, also packed with gzip.
        columns: our field to the file's column, over what is found by name.
        where: column of the file to the value that a row must have.

    Raises:
        InputError: an unknown field or column, a field that is missing, or no row that can be used.
    """
    columns, where = columns or {}, where or {}
    table = read_table(path, lambda header: _layout(header, columns, where, str(path)))
    wanted = {f"where {column}": value for column, value in where.items()}
    runs: list[MeasuredRun] = []
    left_out: list[tuple[int, str]] = list(table.malformed)
    for line, row in _rows(table):
        if any(_text(row.get(name)) != value for name, value in wanted.items()):
            continue
        found = _run(row, f"{path.name}, {table.unit} {line}")
        if isinstance(found, MeasuredRun):
            runs.append(found)
        else:
            left_out.append((line, found))
    if not runs:
        why = f" The first: {left_out[0][1]}." if left_out else ""
        raise InputError(
            f"{path}: holds no run that can be used, of {len(table.lines)} rows; {len(left_out)} are left "
            f"out.{why}"
        )
    return RunsTable(tuple(runs), tuple(left_out))


def _layout(
    header: Sequence[str], columns: Mapping[str, str], where: Mapping[str, str], source: str
) -> Layout:
    for field in columns:
        if field not in FIELDS:
            fields = ", ".join(name for name in FIELDS if name not in _LATENCIES)
            raise InputError(
                f"--column {field}: is no field; allowed: {fields}, and latencies such as ttft_mean_ms, "
                "tpot_p99_s."
            )
    for column in (*columns.values(), *where):
        if column not in header:
            raise InputError(f"{source}: has no column {column}; it has {', '.join(header)}.")
    places = {field: _place(field, header, columns) for field in FIELDS}
    found = {field: place for field, place in places.items() if place is not None}
    _check(found, header, source)
    found.update({f"where {column}": column for column in where})
    return Layout(FORMATS[0], found)


def _place(field: str, header: Sequence[str], columns: Mapping[str, str]) -> str | None:
    if field in columns:
        return columns[field]
    return next((name for name in (field, *FIELDS[field]) if name in header), None)


def _check(found: Mapping[str, str], header: Sequence[str], source: str) -> None:
    missing = [field for field in ("completed", "duration_s") if field not in found]
    for kind in ("prompt", "output"):
        if not {f"mean_{kind}_tokens", f"total_{kind}_tokens"} & set(found):
            missing.append(f"mean_{kind}_tokens or total_{kind}_tokens")
    if not set(found) & set(_LATENCIES):
        missing.append("a latency, such as ttft_mean_ms")
    if missing:
        raise InputError(
            f"{source}: lacks {', '.join(missing)}; it has {', '.join(header)}. Say which column is which "
            "with --column FIELD=COLUMN."
        )


def _rows(table: Table) -> list[tuple[int, dict[str, Any]]]:
    values = {
        name: column.to_pylist() if hasattr(column, "to_pylist") else list(column)
        for name, column in table.columns.items()
    }
    lines = table.lines.tolist()
    return [(line, {name: column[i] for name, column in values.items()}) for i, line in enumerate(lines)]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _run(row: Mapping[str, Any], source: str) -> MeasuredRun | str:
    """The run of a row, or why there is none."""
    numbers: dict[str, float] = {}
    for field in (*_NUMBERS, *_LATENCIES):
        text = _text(row.get(field))
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not is_number(value):
            return f"{field} is {text[:40]!r}, no number"
        if value < 0:
            return f"{field} is {text[:40]!r}, below 0"
        numbers[field] = value
    completed, duration_s = numbers.get("completed", 0.0), numbers.get("duration_s", 0.0)
    if completed < 1 or duration_s <= 0:
        return "it has no answered requests, or no duration"
    tokens = {kind: _mean_tokens(numbers, kind, completed) for kind in ("prompt", "output")}
    if not all(value > 0 for value in tokens.values()):
        return "it does not tell its prompt or output tokens"
    latencies = {metric: _latency(numbers, metric) for metric in _METRICS}
    if not any(latency.known for latency in latencies.values()):
        return "it has no latency"
    counts = ("failed", "max_concurrency", "adapters", "max_loras", "max_lora_rank", "tensor_parallel")
    fields: dict[str, Any] = {name: round(numbers[name]) for name in counts if name in numbers}
    try:
        run = MeasuredRun(
            name=f"{_text(row.get('name')) or 'run'} ({source})",
            tool="a table of runs",
            model=_text(row.get("model")),
            completed=round(completed),
            duration_s=duration_s,
            prompt_tokens=tokens["prompt"],
            output_tokens=tokens["output"],
            request_rate_rps=numbers.get("request_rate_rps") or None,
            ttft=latencies["ttft"],
            tpot=latencies["tpot"],
            itl=latencies["itl"],
            e2e=latencies["e2e"],
            **fields,
        )
        check_units(run, source=source)
    except (InputError, ValueError) as error:
        return str(error).splitlines()[0]
    return run


def _mean_tokens(numbers: Mapping[str, float], kind: str, completed: float) -> float:
    mean = numbers.get(f"mean_{kind}_tokens")
    return numbers.get(f"total_{kind}_tokens", 0.0) / completed if mean is None else mean


def _latency(numbers: Mapping[str, float], metric: str) -> Latency:
    found = {}
    for stat in _STATS:
        for unit, scale in _UNITS.items():
            value = numbers.get(f"{metric}_{stat}_{unit}")
            if value is not None:
                found[f"{stat}_s"] = value * scale
    return Latency(**found)
