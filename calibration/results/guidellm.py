"""guidellm's report (JSON), version 2, a run a benchmark. request_latency is seconds, ..._ms milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import InputError
from advisor.problem import shown
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
from calibration.results.record import Record
from calibration.results.requests import Answer

VERSIONS: Final = (2,)
_LATENCIES: Final = {
    "ttft": ("time_to_first_token_ms", 1e-3),
    "itl": ("inter_token_latency_ms", 1e-3),
    "e2e": ("request_latency", 1.0),
}


def is_guidellm(raw: Mapping[str, Any]) -> bool:
    """Whether these are the keys of a report."""
    metadata = raw.get("metadata")
    return isinstance(metadata, dict) and "guidellm_version" in metadata and "benchmarks" in raw


def runs_of(raw: Mapping[str, Any], source: str) -> list[MeasuredRun]:
    """Every benchmark of a report.

    Its inter-token latency is the mean gap of each request, weighted by the request's gaps: the mean is that
    of all gaps, the percentiles are those of TPOT, long answers counting more. Its time_per_output_token_ms
    counts the first token in and is left out.

    Raises:
        InputError: another version, a key missing or of another kind, or figures that contradict each other.
    """
    report = Record(raw, source)
    metadata = report.block("metadata")
    if metadata.raw.get("version") not in VERSIONS:
        raise InputError(
            f"{source}: metadata.version is {shown(metadata.raw.get('version'))}; allowed: "
            f"{', '.join(map(str, VERSIONS))}. Reports of another version may mean other things by the same "
            "names."
        )
    runs = []
    for index, benchmark in enumerate(report.blocks("benchmarks")):
        place = f"{source}, benchmark {index}"
        run = _run(Record(benchmark.raw, place), metadata)
        check_units(run, source=place)
        runs.append(run)
    if not runs:
        raise InputError(f"{source}: holds no benchmark; allowed: at least one.")
    return runs


def answers_of(raw: Mapping[str, Any], index: int, source: str) -> list[Answer] | None:
    """Every request of one benchmark; None where the report was written without them.

    Raises:
        InputError: a request lacks a time, or holds another kind of value.
    """
    requests = Record(raw["benchmarks"][index], source).maybe("requests")
    rows = {kind: requests.blocks(kind) for kind in ("successful", "errored", "incomplete")}
    answers = [
        _answer(row, "ok" if kind == "successful" else "failed") for kind, of in rows.items() for row in of
    ]
    return answers or None


def _run(benchmark: Record, metadata: Record) -> MeasuredRun:
    metrics, config = benchmark.block("metrics"), benchmark.block("config")
    totals, strategy = metrics.block("request_totals"), config.block("strategy")
    backend = config.maybe("backend")
    if not totals.count("successful"):
        raise InputError(f"{benchmark.source}: has no successful request; allowed: at least one.")
    kind = strategy.text("type_")
    streams = strategy.count("streams") or (strategy.count("max_concurrency") if kind == "concurrent" else 0)
    latencies = {name: _latency(metrics.block(key), scale) for name, (key, scale) in _LATENCIES.items()}
    return MeasuredRun(
        name=benchmark.source,
        tool="guidellm",
        tool_version=metadata.text("guidellm_version"),
        engine=backend.text("kind"),
        model=backend.text("model"),
        request_rate_rps=strategy.number_or_none("rate"),
        arrival_cv=0.0 if kind == "constant" else None,
        max_concurrency=1 if kind == "synchronous" else streams or None,
        completed=totals.count("successful"),
        failed=totals.count("errored") + totals.count("incomplete"),
        duration_s=benchmark.number("duration"),
        prompt_tokens=metrics.block("prompt_token_count").block("successful").number("mean"),
        output_tokens=metrics.block("output_token_count").block("successful").number("mean"),
        ttft=latencies["ttft"],
        tpot=latencies["itl"],
        itl=Latency(mean_s=latencies["itl"].mean_s),
        e2e=latencies["e2e"],
    )


def _latency(metric: Record, scale: float) -> Latency:
    found = metric.block("successful")
    if not found.count("count"):
        return Latency()
    places = found.block("percentiles")
    return Latency(
        mean_s=scale * found.number("mean"),
        p50_s=scale * places.number("p50"),
        p90_s=scale * places.number("p90"),
        p95_s=scale * places.number("p95"),
        p99_s=scale * places.number("p99"),
    )


def _answer(row: Record, status: str) -> Answer:
    timings = row.maybe("info").maybe("timings")
    sent = row.number("request_start_time")
    ttft_ms, last = (
        row.number_or_none("time_to_first_token_ms"),
        timings.number_or_none("last_token_iteration"),
    )
    first = math.nan if ttft_ms is None or status != "ok" else sent + 1e-3 * ttft_ms
    ok = not math.isnan(first)
    targeted = timings.number_or_none("targeted_start")
    return Answer(
        arrival_s=sent if targeted is None else targeted,
        sent_s=sent,
        first_token_s=first,
        last_token_s=(row.number("request_end_time") if last is None else last) if ok else math.nan,
        prompt_tokens=row.count("prompt_tokens"),
        output_tokens=row.count("output_tokens"),
        status=status if ok or status != "ok" else "malformed",
    )
