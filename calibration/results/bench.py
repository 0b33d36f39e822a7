"""Results of `vllm bench serve` (JSON) and SGLang's `bench_serving` (JSON lines).

Neither writes a version of its format; a file is known by its keys. Summed-up latencies are milliseconds and
say so in their names (mean_ttft_ms); lists of --save-detailed and --output-details are seconds. A latency
without a unit in its name is refused: forks write seconds there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

from advisor.errors import InputError
from advisor.problem import ABSENT, Problem, shown
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
from calibration.results.record import is_number
from calibration.results.requests import Answer

Unit = Literal["s", "ms"]
_NEEDED: Final = ("duration", "completed", "total_input_tokens", "total_output_tokens")
_SGLANG: Final = ("mean_e2e_latency_ms", "total_output_tokens_retokenized", "dataset_name")
_NAMES: Final = {"ttft": ("ttft",), "tpot": ("tpot",), "itl": ("itl",), "e2e": ("e2el", "e2e_latency")}
_FIELDS: Final = {"mean_s": "mean", "p50_s": "median", "p90_s": "p90", "p95_s": "p95", "p99_s": "p99"}


def is_bench(raw: Mapping[str, Any]) -> bool:
    """Whether these are the keys of such a result."""
    return all(key in raw for key in _NEEDED)


def is_sglang(raw: Mapping[str, Any]) -> bool:
    """Whether SGLang's script wrote it."""
    return any(key in raw for key in _SGLANG)


def run_of(raw: Mapping[str, Any], source: str, unit: Unit | None = None) -> MeasuredRun:
    """Read one result.

    Args:
        raw: the JSON object.
        source: file and line, for errors.
        unit: of latencies whose names do not tell; None: refuse them.

    Raises:
        InputError: a key is missing, no number, of an unknown unit, or figures contradict each other.
    """
    completed = _count(raw, "completed", source)
    if not completed:
        raise InputError(f"{source}: completed is 0; allowed: a run with answered requests.")
    latencies = {name: _latency(raw, keys, source, unit) for name, keys in _NAMES.items()}
    if not latencies["ttft"].known and not latencies["e2e"].known:
        raise InputError(f"{source}: has no latency; allowed: mean_ttft_ms, p99_e2el_ms and so on.")
    sglang = is_sglang(raw)
    prompts = raw.get("num_prompts")
    failed = raw.get("failed")
    if not isinstance(failed, int):
        failed = max(prompts - completed, 0) if isinstance(prompts, int) else 0
    concurrency, burstiness = raw.get("max_concurrency"), raw.get("burstiness")
    by_lora = raw.get("mean_ttfts_ms_by_lora")
    run = MeasuredRun(
        name=source,
        tool="sglang bench_serving" if sglang else "vllm bench serve",
        measured=str(raw.get("date", "")),
        engine=str(raw.get("backend") or raw.get("endpoint_type") or ("sglang" if sglang else "")),
        model=str(raw.get("model_id") or _sglang_model(raw) or ""),
        request_rate_rps=_rate(raw.get("request_rate"), source),
        arrival_cv=_number(raw, "burstiness", source) ** -0.5 if burstiness else None,
        max_concurrency=concurrency if isinstance(concurrency, int) and concurrency > 0 else None,
        completed=completed,
        failed=failed,
        duration_s=_number(raw, "duration", source),
        prompt_tokens=_number(raw, "total_input_tokens", source) / completed,
        output_tokens=_number(raw, "total_output_tokens", source) / completed,
        adapters=len(by_lora) if isinstance(by_lora, dict | list) else None,
        ttft=latencies["ttft"],
        tpot=latencies["tpot"],
        itl=latencies["itl"],
        e2e=latencies["e2e"],
    )
    check_units(run, source=source)
    return run


def answers_of(raw: Mapping[str, Any], source: str) -> list[Answer] | None:
    """Every request of a detailed result; None where it has no details, or not when requests were sent.

    Raises:
        InputError: lists of different lengths or of the wrong kind.
    """
    names = ("input_lens", "output_lens", "ttfts", "itls")
    if not all(isinstance(raw.get(name), list) for name in names):
        return None
    starts = raw.get("start_times")
    if not isinstance(starts, list):
        burst = _rate(raw.get("request_rate"), source) is None and raw.get("max_concurrency") is None
        if not burst:
            return None
        starts = [0.0] * len(raw["ttfts"])
    errors = raw.get("errors") or [""] * len(starts)
    columns = [raw["input_lens"], raw["output_lens"], raw["ttfts"], raw["itls"], errors]
    if not isinstance(errors, list):
        raise InputError(Problem(source, "errors", errors, "a list of one text a request"))
    if any(len(column) != len(starts) for column in columns):
        lengths = ", ".join(str(len(column)) for column in (starts, *columns))
        raise InputError(
            f"{source}: its lists have different lengths ({lengths}); allowed: one entry a request."
        )
    numbers = (starts, *columns[:3])
    lists = all(isinstance(gaps, list) and all(map(is_number, gaps)) for gaps in raw["itls"])
    if not lists or not all(is_number(value) for column in numbers for value in column):
        raise InputError(f"{source}: a list holds something else than numbers; allowed: seconds.")
    return [_answer(*row) for row in zip(starts, *columns, strict=True)]


def _answer(start: float, prompt: int, output: int, ttft: float, gaps: list[float], error: str) -> Answer:
    ok = not error and output > 0
    first = float(start) + float(ttft) if ok else math.nan
    return Answer(
        arrival_s=float(start),
        sent_s=float(start),
        first_token_s=first,
        last_token_s=first + math.fsum(gaps) if ok else math.nan,
        prompt_tokens=int(prompt),
        output_tokens=int(output),
        status="ok" if ok else "failed",
        gaps_s=tuple(map(float, gaps)) if ok else (),
    )


def _latency(raw: Mapping[str, Any], names: tuple[str, ...], source: str, unit: Unit | None) -> Latency:
    found: dict[str, float] = {}
    for field, word in _FIELDS.items():
        for name in names:
            spelled = [f"{word}_{name}_ms", f"p50_{name}_ms"] if word == "median" else [f"{word}_{name}_ms"]
            key = next((key for key in spelled if raw.get(key) is not None), None)
            bare = f"{word}_{name}"
            if key is not None:
                found[field] = 1e-3 * _number(raw, key, source)
            elif raw.get(bare) is not None:
                found[field] = _number(raw, bare, source) * _scale(bare, unit, source)
    return Latency(**found)


def _scale(key: str, unit: Unit | None, source: str) -> float:
    if unit is None:
        raise InputError(
            f"{source}: {key} names no unit; allowed: {key}_ms, as vllm bench serve writes it. Say "
            "--unit s or --unit ms if you know."
        )
    return {"s": 1.0, "ms": 1e-3}[unit]


def _rate(value: Any, source: str) -> float | None:
    """Requests a second; None for inf and for traces."""
    if value is None or value in ("inf", "trace"):
        return None
    try:
        rate = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{source}: request_rate is {shown(value)}; allowed: a number, or inf.") from None
    return rate if math.isfinite(rate) and rate > 0 else None


def _number(raw: Mapping[str, Any], key: str, source: str) -> float:
    value: Any = raw.get(key)
    if not is_number(value) or value < 0:
        raise InputError(Problem(source, key, raw.get(key, ABSENT), "a number of at least 0"))
    return float(value)


def _count(raw: Mapping[str, Any], key: str, source: str) -> int:
    return int(_number(raw, key, source))


def _sglang_model(raw: Mapping[str, Any]) -> str | None:
    info = raw.get("server_info")
    return info.get("model_path") if isinstance(info, dict) else None
