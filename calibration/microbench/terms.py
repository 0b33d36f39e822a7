"""Samples to the terms of a profile. Shapes come from the microbenchmarks, their sum from engine steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.profile import (
    Curve,
    DecodeAttention,
    HostTerm,
    LoadTerm,
    LoraTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    Residual,
)
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from advisor.spec.spec import Origin
from advisor.steptime.attention import chunk_work
from advisor.steptime.clock import ProfileClock
from calibration.fit import Fit, fit_non_negative
from calibration.microbench.operations import BESIDE
from calibration.microbench.samples import Samples
from calibration.microbench.steps import HELD_OUT, batch_of

Floats = NDArray[np.float64]
Interval = tuple[float, float]
_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the terms come from."""

    source: str
    shape: ModelShape


def micro_terms(samples: Samples, mark: Mark) -> ModelTerms:
    """Terms of one model from the microbenchmarks alone."""
    return ModelTerms(
        model=mark.shape,
        dense=_curve(samples, "dense", "tokens", mark),
        head=_curve(samples, "head", "rows", mark),
        attn_prefill=_prefill(samples, mark),
        attn_decode=_decode(samples, mark),
        lora=_lora(samples, mark) if samples.of("lora") else None,
    )


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _spread(points: list[list[float]]) -> Interval:
    """How far medians may be off: the median relative interquartile range over the root of the count."""
    found = [
        (np.subtract(*np.percentile(values, [75, 25])) / np.median(values)) / np.sqrt(len(values))
        for values in points
        if len(values) > 3
    ]
    half = float(np.clip(np.median(found), 0.005, 0.5)) if found else 0.1
    return 1.0 - half, 1.0 + half


def _curve(samples: Samples, operation: str, name: str, mark: Mark) -> Curve:
    """Medians, made to rise: more work never takes less."""
    points = sorted((parameters[name], values) for parameters, values in samples.of(operation))
    seconds = np.maximum.accumulate([_median(values) for _, values in points])
    return Curve(
        origin=Origin.MEASURED,
        source=mark.source,
        interval=_spread([values for _, values in points]),
        x=tuple(x for x, _ in points),
        y_s=tuple(seconds.tolist()),
    )


def _decode(samples: Samples, mark: Mark) -> DecodeAttention:
    """For each S a line over the total context."""
    by_count: dict[float, list[tuple[float, float]]] = {}
    points = samples.of("decode_attention")
    for parameters, values in points:
        count = parameters["sequences"]
        by_count.setdefault(count, []).append((count * parameters["context"], _median(values)))
    counts, fixed, slopes = [], [], []
    for count, rows in sorted(by_count.items()):
        context, seconds = (np.array(column) for column in zip(*rows, strict=True))
        slope = 0.0 if len(rows) < 2 else max(0.0, float(np.polyfit(context, seconds, 1, w=1 / seconds)[0]))
        counts.append(count)
        slopes.append(slope)
        fixed.append(max(0.0, float(np.median(seconds - slope * context))))
    return DecodeAttention(
        origin=Origin.MEASURED,
        source=mark.source,
        interval=_spread([values for _, values in points]),
        sequences=tuple(counts),
        fixed_s=tuple(fixed),
        per_context_token_s=tuple(slopes),
    )


def _prefill(samples: Samples, mark: Mark) -> PrefillAttention:
    """The grid; where a long chunk on a long context did not fit, scaled by the pairs it looks at."""
    points = samples.of("prefill_attention")
    decode = _decode(samples, mark)
    beside = decode.fixed_s[0] + decode.per_context_token_s[0] * BESIDE
    known = {
        (p["new"], p["context"]): max(_median(values) - beside, 0.1 * _median(values)) for p, values in points
    }
    new, context = (sorted({key[i] for key in known}) for i in (0, 1))
    rows = []
    for q in new:
        row: list[float] = []
        for c in context:
            value = known.get((q, c))
            if value is None:
                value = row[-1] * chunk_work(q, c) / chunk_work(q, context[len(row) - 1])
            row.append(value)
        rows.append(tuple(row))
    return PrefillAttention(
        origin=Origin.MEASURED,
        source=mark.source,
        interval=_spread([values for _, values in points]),
        new_tokens=tuple(new),
        context_tokens=tuple(context),
        seconds=tuple(rows),
    )


def _lora(samples: Samples, mark: Mark) -> LoraTerm:
    """The line c + slots·c_slot + A·(c_A + bytes(r)·c_byte) + T·(c_T + r·c_Tr), each at least zero."""
    rows = samples.of("lora")
    column = {name: np.array([p[name] for p, _ in rows]) for name in ("tokens", "adapters", "rank", "slots")}
    weight = np.array([adapter_bytes(mark.shape, ALL_LINEAR, int(rank)) for rank in column["rank"]])
    fit = fit_non_negative(
        {
            "fixed_s": np.ones(len(rows)),
            "per_slot_s": column["slots"],
            "per_adapter_s": column["adapters"],
            "per_weight_byte_s": column["adapters"] * weight,
            "per_token_s": column["tokens"],
            "per_token_rank_s": column["tokens"] * column["rank"],
        },
        np.array([_median(values) for _, values in rows]),
    )
    off = float(np.clip(fit.median_absolute, 0.01, 0.9))
    around = (1 - off, 1 + off)
    common: dict[str, Any] = {"origin": Origin.FITTED, "source": mark.source, "interval": around}
    return LoraTerm(**common, graph_mode="eager", **fit.values)  # type: ignore[arg-type]  # columns are fields


def load_terms(samples: Samples, mark: Mark) -> tuple[LoadTerm, LoadTerm]:
    """Both hops as fixed + bytes / bandwidth; from disk means from the page cache."""
    return (
        _load(samples, "disk_to_cpu", "disk_warm", "rank", mark),
        _load(samples, "cpu_to_slot", "slot", "padded_rank", mark),
    )


def _load(samples: Samples, hop: Any, operation: str, rank: str, mark: Mark) -> LoadTerm:
    points = samples.of(operation)
    size = np.array([p.get("bytes", adapter_bytes(mark.shape, ALL_LINEAR, int(p[rank]))) for p, _ in points])
    seconds = np.array([_median(values) for _, values in points])
    fit = fit_non_negative({"fixed": np.ones(len(points)), "byte": size}, seconds)
    return LoadTerm(
        hop=hop,
        origin=Origin.MEASURED,
        source=mark.source,
        interval=_spread([values for _, values in points]),
        fixed_s=fit.values["fixed"],
        bandwidth_bytes_per_s=1.0 / max(fit.values["byte"], 1e-15),
    )


# ------------------------------------------------------------------------------- the sum of the parts


@dataclass(frozen=True, slots=True)
class Balanced:
    """Terms whose sum is that of engine steps."""

    terms: ModelTerms
    host: HostTerm
    scales: dict[str, float]
    fit: Fit


def balance(profile: Profile, limits: EngineLimits, samples: Samples, source: str) -> Balanced:
    """Hold the sum of the parts to engine steps.

    step = a·(dense + head) + b·attention + c·lora + h0 + h1·sequences + h2·tokens, all at least zero. The
    microbenchmarks give each part's shape; what they time is warmer (or colder) than within a step.
    """
    terms = profile.models[0]
    clock = ProfileClock(profile, terms, limits)
    steps = [step for step in samples.steps if not step["run"].startswith(HELD_OUT) and not step["gamma"]]
    batches = [batch_of(step) for step in steps]
    parts = [clock.parts(batch) for batch in batches]
    columns: dict[str, Floats] = {
        "dense": np.array([p.dense + p.head for p in parts]),
        "attention": np.array([p.attention for p in parts]),
        "host_fixed": np.ones(len(steps)),
        "host_sequence": np.array([float(b.decodes + len(b.chunks)) for b in batches]),
        "host_token": np.array([float(b.tokens) for b in batches]),
    }
    lora = np.array([p.lora for p in parts])
    if terms.lora is not None and lora.any():
        columns["lora"] = lora
    fit = fit_non_negative(columns, np.array([step["s"] for step in steps]), resamples=_RESAMPLES)
    named: tuple[str, ...] = ("dense", "attention", "lora")
    scales = {name: fit.values[name] for name in named if name in fit.values}
    off = float(np.clip(fit.median_absolute, 0.005, 0.9))
    host = HostTerm(
        origin=Origin.FITTED,
        source=source,
        interval=(1 - off, 1 + off),
        fixed_s=fit.values["host_fixed"],
        per_sequence_s=fit.values["host_sequence"],
        per_token_s=fit.values["host_token"],
    )
    return Balanced(scaled(terms, scales), host, scales, fit)


def scaled(terms: ModelTerms, scales: dict[str, float]) -> ModelTerms:
    """The same terms with their seconds multiplied; head goes with dense."""
    changed: dict[str, Any] = {}
    dense, attention = scales.get("dense", 1.0), scales.get("attention", 1.0)
    for name in ("dense", "head"):
        curve: Curve = getattr(terms, name)
        changed[name] = curve.model_copy(update={"y_s": tuple(y * dense for y in curve.y_s)})
    prefill, decode = terms.attn_prefill, terms.attn_decode
    rows = tuple(tuple(s * attention for s in row) for row in prefill.seconds)
    changed["attn_prefill"] = prefill.model_copy(update={"seconds": rows})
    changed["attn_decode"] = decode.model_copy(
        update={
            name: tuple(s * attention for s in getattr(decode, name))
            for name in ("fixed_s", "per_context_token_s")
        }
    )
    if terms.lora is not None:
        seconds = [name for name in LoraTerm.model_fields if name.endswith("_s")]
        factor = scales.get("lora", 1.0)
        changed["lora"] = terms.lora.model_copy(
            update={name: getattr(terms.lora, name) * factor for name in seconds}
        )
    return terms.model_copy(update=changed)


def residual(profile: Profile, limits: EngineLimits, samples: Samples, source: str) -> Residual | None:
    """Predicted against measured over the steps that no fit saw."""
    relative = _held_out(profile, limits, samples)
    if not len(relative):
        return None
    return Residual(
        points=len(relative),
        median_relative=float(np.median(relative)),
        p90_absolute_relative=float(np.quantile(np.abs(relative), 0.9)),
        source=source,
    )


def residual_absolute(profile: Profile, limits: EngineLimits, samples: Samples) -> float | None:
    """Median of |predicted / measured - 1| over the same steps."""
    relative = _held_out(profile, limits, samples)
    return float(np.median(np.abs(relative))) if len(relative) else None


def _held_out(profile: Profile, limits: EngineLimits, samples: Samples) -> Floats:
    clock = ProfileClock(profile, profile.models[0], limits)
    steps = [step for step in samples.steps if step["run"].startswith(HELD_OUT) and not step["gamma"]]
    return np.array([clock.parts(batch_of(step)).total / step["s"] - 1.0 for step in steps])


def spans(fit: Fit, names: tuple[str, ...]) -> str:
    """Coefficients with their 5th and 95th percentile over resampled steps, as text."""
    return ", ".join(
        f"{name} {fit.values[name]:.3g} ({fit.low[name]:.3g} to {fit.high[name]:.3g})"
        for name in names
        if name in fit.values
    )
