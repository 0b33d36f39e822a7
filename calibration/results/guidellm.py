"""guidellm's report (JSON), version 2, a run a benchmark. request_latency is seconds, ..._ms milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import InputError
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
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
        InputError: another version, a key missing, or figures that contradict each other.
    """
    version = raw["metadata"].get("version")
    if version not in VERSIONS:
        raise InputError(
            f"{source}: metadata.version is {version}; allowed: {', '.join(map(str, VERSIONS))}. Reports of "
            "another version may mean other things by the same names."
        )
    runs = []
    for index, benchmark in enumerate(raw["benchmarks"]):
        place = f"{source}, benchmark {index}"
        try:
            run = _run(benchmark, raw, place)
        except (KeyError, TypeError, IndexError) as error:
            raise InputError(f"{place}: lacks {error}; allowed: a whole report of guidellm.") from None
        check_units(run, source=place)
        runs.append(run)
    if not runs:
        raise InputError(f"{source}: holds no benchmark; allowed: at least one.")
    return runs


def answers_of(raw: Mapping[str, Any], index: int, source: str) -> list[Answer] | None:
    """Every request of one benchmark; None where the report was written without them."""
    requests = raw["benchmarks"][index].get("requests") or {}
    rows = [row for kind in ("successful", "errored", "incomplete") for row in requests.get(kind) or []]
    if not rows:
        return None
    good = len(requests.get("successful") or [])
    try:
        return [_answer(row, "ok" if i < good else "failed") for i, row in enumerate(rows)]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{source}: a request lacks {error}; allowed: guidellm's request statistics."
        ) from None


def _run(benchmark: Mapping[str, Any], raw: Mapping[str, Any], place: str) -> MeasuredRun:
    metrics, config = benchmark["metrics"], benchmark["config"]
    totals = metrics["request_totals"]
    if not totals["successful"]:
        raise InputError(f"{place}: has no successful request; allowed: at least one.")
    strategy = config["strategy"]
    streams = strategy.get("streams") or (
        strategy.get("max_concurrency") if strategy["type_"] == "concurrent" else None
    )
    backend = config.get("backend") or {}
    latencies = {name: _latency(metrics[key], scale) for name, (key, scale) in _LATENCIES.items()}
    return MeasuredRun(
        name=place,
        tool="guidellm",
        tool_version=str(raw["metadata"]["guidellm_version"]),
        engine=str(backend.get("kind", "")),
        model=str(backend.get("model") or ""),
        request_rate_rps=strategy.get("rate"),
        arrival_cv=0.0 if strategy["type_"] == "constant" else None,
        max_concurrency=1 if strategy["type_"] == "synchronous" else streams,
        completed=totals["successful"],
        failed=totals["errored"] + totals["incomplete"],
        duration_s=benchmark["duration"],
        prompt_tokens=metrics["prompt_token_count"]["successful"]["mean"],
        output_tokens=metrics["output_token_count"]["successful"]["mean"],
        ttft=latencies["ttft"],
        tpot=latencies["itl"],
        itl=Latency(mean_s=latencies["itl"].mean_s),
        e2e=latencies["e2e"],
    )


def _latency(metric: Mapping[str, Any], scale: float) -> Latency:
    found = metric["successful"]
    if not found.get("count"):
        return Latency()
    places = found["percentiles"]
    return Latency(
        mean_s=scale * found["mean"],
        p50_s=scale * places["p50"],
        p90_s=scale * places["p90"],
        p95_s=scale * places["p95"],
        p99_s=scale * places["p99"],
    )


def _answer(row: Mapping[str, Any], status: str) -> Answer:
    timings = (row.get("info") or {}).get("timings") or {}
    sent = float(row["request_start_time"])
    ttft, last = row.get("time_to_first_token_ms"), timings.get("last_token_iteration")
    ok = status == "ok" and ttft is not None
    first = math.nan if ttft is None else sent + 1e-3 * float(ttft)
    targeted = timings.get("targeted_start")
    return Answer(
        arrival_s=sent if targeted is None else targeted,
        sent_s=sent,
        first_token_s=first if ok else math.nan,
        last_token_s=(row["request_end_time"] if last is None else last) if ok else math.nan,
        prompt_tokens=int(row.get("prompt_tokens") or 0),
        output_tokens=int(row.get("output_tokens") or 0),
        status=status if ok or status != "ok" else "malformed",
    )
