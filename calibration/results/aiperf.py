"""aiperf's records (profile_export.jsonl), a line a request. Each metric names its unit, which is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from advisor.errors import InputError
from calibration.results.measured import MeasuredRun, latency_of
from calibration.results.plausible import check_units
from calibration.results.record import Record
from calibration.results.requests import Answer

SCALE: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}


def is_aiperf(raw: Mapping[str, Any]) -> bool:
    """Whether this is a record of aiperf."""
    metadata = raw.get("metadata")
    return isinstance(metadata, dict) and "request_start_ns" in metadata and "metrics" in raw


def answers_of(records: Sequence[Mapping[str, Any]], source: str) -> list[Answer]:
    """Every request of the measured phase; warm-up is left out.

    Raises:
        InputError: a record lacks a metric or holds another kind of value, or its unit is none of time.
    """
    found = []
    for line, raw in enumerate(records, 1):
        record = Record(raw, f"{source}, line {line}")
        phase = record.block("metadata").text("benchmark_phase")
        if phase in ("", "profiling"):
            found.append(_answer(record))
    if not found:
        raise InputError(f"{source}: has no record of the measured phase; allowed: at least one.")
    return found


def run_of(answers: Sequence[Answer], source: str) -> MeasuredRun:
    """Sum up the requests of a file.

    Raises:
        InputError: no request was answered.
    """
    good = [answer for answer in answers if answer.status == "ok"]
    if not good:
        raise InputError(f"{source}: no request was answered; allowed: at least one.")
    first = np.asarray([answer.first_token_s - answer.arrival_s for answer in good])
    whole = np.asarray([answer.last_token_s - answer.arrival_s for answer in good])
    tokens = np.asarray([answer.output_tokens for answer in good])
    gaps = np.concatenate([np.asarray(answer.gaps_s, dtype=np.float64) for answer in good])
    begin = min(answer.arrival_s for answer in answers)
    run = MeasuredRun(
        name=source,
        tool="aiperf",
        completed=len(good),
        failed=len(answers) - len(good),
        duration_s=max(answer.last_token_s for answer in good) - begin,
        prompt_tokens=float(np.mean([answer.prompt_tokens for answer in good])),
        output_tokens=float(tokens.mean()),
        ttft=latency_of(first),
        tpot=latency_of(((whole - first) / np.maximum(tokens - 1, 1))[tokens > 1]),
        itl=latency_of(gaps),
        e2e=latency_of(whole),
    )
    check_units(run, source=source)
    return run


def _answer(record: Record) -> Answer:
    metadata, metrics = record.block("metadata"), record.block("metrics")
    start = 1e-9 * metadata.number("request_start_ns")
    cancelled, error = bool(metadata.raw.get("was_cancelled")), record.raw.get("error")
    if cancelled or error:
        code = record.maybe("error").text("code") if isinstance(error, dict) else ""
        return Answer(
            arrival_s=start,
            sent_s=start,
            first_token_s=math.nan,
            last_token_s=math.nan,
            prompt_tokens=metrics.maybe("error_isl").count("value"),
            output_tokens=0,
            status="cut_off" if cancelled else f"http_{code or 'error'}",
        )
    gaps = metrics.maybe("inter_chunk_latency")
    scale = unit_s(gaps) if gaps.raw else 1.0
    return Answer(
        arrival_s=start,
        sent_s=start,
        first_token_s=start + _seconds(metrics.block("time_to_first_token")),
        last_token_s=start + _seconds(metrics.block("request_latency")),
        prompt_tokens=_tokens(metrics.block("input_sequence_length")),
        output_tokens=_tokens(metrics.block("output_sequence_length")),
        gaps_s=tuple(scale * gap for gap in gaps.numbers("value")) if gaps.raw else (),
    )


def _tokens(metric: Record) -> int:
    if not metric.has("value"):
        raise metric.problem("value", "a whole number of at least 0")
    return metric.count("value")


def _seconds(metric: Record) -> float:
    return unit_s(metric) * metric.number("value")


def unit_s(metric: Record) -> float:
    """Seconds of the unit that a metric names.

    Raises:
        InputError: it names none of time.
    """
    scale = SCALE.get(metric.text("unit"))
    if scale is None:
        raise metric.problem("unit", ", ".join(SCALE))
    return scale
