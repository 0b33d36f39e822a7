"""aiperf's records (profile_export.jsonl), a line a request. Each metric names its unit, which is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from advisor.errors import InputError
from calibration.results.measured import MeasuredRun, latency_of
from calibration.results.plausible import check_units
from calibration.results.requests import Answer

SCALE: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}


def is_aiperf(raw: Mapping[str, Any]) -> bool:
    """Whether this is a record of aiperf."""
    metadata = raw.get("metadata")
    return isinstance(metadata, dict) and "request_start_ns" in metadata and "metrics" in raw


def answers_of(records: Sequence[Mapping[str, Any]], source: str) -> list[Answer]:
    """Every request of the measured phase; warm-up is left out.

    Raises:
        InputError: a record lacks a metric, or its unit is none of time.
    """
    found = []
    for line, record in enumerate(records, 1):
        place = f"{source}, line {line}"
        if record["metadata"].get("benchmark_phase", "profiling") != "profiling":
            continue
        try:
            found.append(_answer(record, place))
        except (KeyError, TypeError) as error:
            raise InputError(f"{place}: lacks {error}; allowed: a record as aiperf writes it.") from None
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


def _answer(record: Mapping[str, Any], place: str) -> Answer:
    metadata, metrics = record["metadata"], record["metrics"]
    start = 1e-9 * metadata["request_start_ns"]
    if metadata.get("was_cancelled") or record.get("error"):
        error = record.get("error") or {}
        return Answer(
            arrival_s=start,
            sent_s=start,
            first_token_s=math.nan,
            last_token_s=math.nan,
            prompt_tokens=int((metrics.get("error_isl") or {}).get("value", 0)),
            output_tokens=0,
            status="cut_off" if metadata.get("was_cancelled") else f"http_{error.get('code', 'error')}",
        )
    gaps = metrics.get("inter_chunk_latency")
    return Answer(
        arrival_s=start,
        sent_s=start,
        first_token_s=start + _seconds(metrics, "time_to_first_token", place),
        last_token_s=start + _seconds(metrics, "request_latency", place),
        prompt_tokens=int(metrics["input_sequence_length"]["value"]),
        output_tokens=int(metrics["output_sequence_length"]["value"]),
        gaps_s=() if gaps is None else tuple(_unit(gaps, place) * value for value in gaps["value"]),
    )


def _seconds(metrics: Mapping[str, Any], name: str, place: str) -> float:
    return _unit(metrics[name], place) * float(metrics[name]["value"])


def _unit(metric: Mapping[str, Any], place: str) -> float:
    unit = metric.get("unit")
    if unit not in SCALE:
        raise InputError(f"{place}: unit is {unit!r:.40}; allowed: {', '.join(SCALE)}.")
    return SCALE[unit]
