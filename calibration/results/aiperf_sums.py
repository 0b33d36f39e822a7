"""aiperf's summary (profile_export_aiperf.json): a block of statistics a metric, each with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import InputError
from calibration.results.aiperf import SCALE
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units

_MAJORS: Final = ("1",)
_STATISTICS: Final = {"mean_s": "avg", "p50_s": "p50", "p90_s": "p90", "p95_s": "p95", "p99_s": "p99"}
_GAP: Final = "inter_token_latency"


def is_summary(raw: Mapping[str, Any]) -> bool:
    """Whether these are the keys of a summary."""
    return isinstance(raw.get("request_latency"), dict) and isinstance(raw.get("request_count"), dict)


def run_of(raw: Mapping[str, Any], source: str) -> MeasuredRun:
    """Read a summary. Its inter_token_latency is a request's mean gap, which is TPOT elsewhere.

    Raises:
        InputError: another major version, a metric missing, a unit that is none of time, or figures that
            contradict each other.
    """
    version = str(raw.get("schema_version", "1"))
    if version.split(".")[0] not in _MAJORS:
        raise InputError(
            f"{source}: schema_version is {version:.20}; allowed: {', '.join(_MAJORS)}.x. Another version "
            "may mean other things by the same names."
        )
    try:
        run = _run(raw, source)
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: lacks {error}; allowed: a summary as aiperf writes it.") from None
    check_units(run, source=source)
    return run


def _run(raw: Mapping[str, Any], source: str) -> MeasuredRun:
    completed = int(raw["request_count"]["avg"])
    if not completed:
        raise InputError(f"{source}: request_count is 0; allowed: a run with answered requests.")
    config = raw.get("input_config") or {}
    load = config.get("loadgen") or {}
    names = (config.get("endpoint") or {}).get("model_names") or [""]
    return MeasuredRun(
        name=source,
        tool="aiperf",
        tool_version=str(raw.get("aiperf_version", "")),
        measured=str(raw.get("start_time", "")),
        model=str(names[0]),
        request_rate_rps=load.get("request_rate"),
        max_concurrency=load.get("concurrency"),
        completed=completed,
        failed=int((raw.get("error_request_count") or {}).get("avg", 0)),
        duration_s=_seconds(raw["benchmark_duration"], "benchmark_duration", "avg", source),
        prompt_tokens=raw["input_sequence_length"]["avg"],
        output_tokens=raw["output_sequence_length"]["avg"],
        ttft=_latency(raw, "time_to_first_token", source),
        tpot=_latency(raw, _GAP, source),
        e2e=_latency(raw, "request_latency", source),
    )


def _latency(raw: Mapping[str, Any], name: str, source: str) -> Latency:
    block = raw.get(name)
    if block is None:
        return Latency()
    found = {field: word for field, word in _STATISTICS.items() if block.get(word) is not None}
    return Latency(**{field: _seconds(block, name, word, source) for field, word in found.items()})


def _seconds(block: Mapping[str, Any], name: str, word: str, source: str) -> float:
    unit = block.get("unit")
    if unit not in SCALE:
        raise InputError(f"{source}: {name}.unit is {unit!r:.40}; allowed: {', '.join(SCALE)}.")
    return SCALE[unit] * float(block[word])
