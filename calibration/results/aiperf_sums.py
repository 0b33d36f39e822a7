"""aiperf's summary (profile_export_aiperf.json): a block of statistics a metric, each with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import InputError
from calibration.results.aiperf import unit_s
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
from calibration.results.record import Record

_MAJORS: Final = ("1",)
_STATISTICS: Final = {"mean_s": "avg", "p50_s": "p50", "p90_s": "p90", "p95_s": "p95", "p99_s": "p99"}
_GAP: Final = "inter_token_latency"


def is_summary(raw: Mapping[str, Any]) -> bool:
    """Whether these are the keys of a summary."""
    return isinstance(raw.get("request_latency"), dict) and isinstance(raw.get("request_count"), dict)


def run_of(raw: Mapping[str, Any], source: str) -> MeasuredRun:
    """Read a summary. Its inter_token_latency is a request's mean gap, which is TPOT elsewhere.

    Raises:
        InputError: another major version, a metric missing or of another kind, a unit that is none of time,
            or figures that contradict each other.
    """
    record = Record(raw, source)
    version = record.text("schema_version") or "1"
    if version.split(".")[0] not in _MAJORS:
        raise InputError(
            f"{source}: schema_version is {version:.20}; allowed: {', '.join(_MAJORS)}.x. Another version "
            "may mean other things by the same names."
        )
    run = _run(record)
    check_units(run, source=source)
    return run


def _run(record: Record) -> MeasuredRun:
    completed = record.block("request_count").count("avg")
    if not completed:
        raise InputError(f"{record.source}: request_count is 0; allowed: a run with answered requests.")
    config = record.maybe("input_config")
    load, endpoint = config.maybe("loadgen"), config.maybe("endpoint")
    names = endpoint.raw.get("model_names") or [""]
    if not isinstance(names, list):
        raise endpoint.problem("model_names", "a list of names")
    return MeasuredRun(
        name=record.source,
        tool="aiperf",
        tool_version=record.text("aiperf_version"),
        measured=record.text("start_time"),
        model=str(names[0]),
        request_rate_rps=load.number_or_none("request_rate"),
        max_concurrency=load.count("concurrency") if load.has("concurrency") else None,
        completed=completed,
        failed=record.maybe("error_request_count").count("avg"),
        duration_s=_seconds(record.block("benchmark_duration"), "avg"),
        prompt_tokens=record.block("input_sequence_length").number("avg"),
        output_tokens=record.block("output_sequence_length").number("avg"),
        ttft=_latency(record.maybe("time_to_first_token")),
        tpot=_latency(record.maybe(_GAP)),
        e2e=_latency(record.maybe("request_latency")),
    )


def _latency(block: Record) -> Latency:
    found = {field: word for field, word in _STATISTICS.items() if block.has(word)}
    return Latency(**{field: _seconds(block, word) for field, word in found.items()})


def _seconds(block: Record, word: str) -> float:
    return unit_s(block) * block.number(word)
