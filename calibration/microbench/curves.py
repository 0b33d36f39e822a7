"""Each term as a picture: medians of the microbenchmarks as dots, what is fitted to them as lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from advisor.fitted import FittedPoint
from advisor.profile import ModelTerms
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from calibration.microbench.samples import Samples
from calibration.microbench.terms import Mark, micro_terms

Row = dict[str, Any]


def curves(samples: Samples, shape: ModelShape) -> Any:
    """Dense over tokens, decode attention over context, LoRA over tokens: an altair chart.

    The lines are of the microbenchmarks alone, before the terms are held to engine steps.
    """
    import altair as alt

    terms = micro_terms(samples, Mark("samples", shape))
    drawn = [
        _chart(dense_rows(samples, terms), "Dense and head", "tokens in the step; rows of the head", "part"),
        _chart(decode_rows(samples, terms), "Decode attention", "context tokens, all sequences", "sequences"),
    ]
    if terms.lora is not None:
        title = "LoRA: adapters × rank, all slots reserved"
        drawn.append(_chart(lora_rows(samples, terms, shape), title, "tokens in the step", "kind"))
    return alt.vconcat(*drawn).resolve_scale(color="independent")


def points_of(samples: Samples, shape: ModelShape) -> tuple[FittedPoint, ...]:
    """Dense, head, decode attention and LoRA: medians beside the curves fitted to them."""
    terms = micro_terms(samples, Mark("samples", shape))
    rows = [(row["part"], "", row) for row in dense_rows(samples, terms)]
    rows += [("attention", f"{row['sequences']} sequences", row) for row in decode_rows(samples, terms)]
    if terms.lora is not None:
        rows += [("lora", row["kind"], row) for row in lora_rows(samples, terms, shape)]
    return tuple(
        FittedPoint(
            term=term,
            curve=curve,
            x=row["x"],
            measured_s=row["measured_ms"] / 1e3,
            fitted_s=max(0.0, row["fitted_ms"] / 1e3),
        )
        for term, curve, row in rows
    )


def dense_rows(samples: Samples, terms: ModelTerms) -> list[Row]:
    """x, measured_ms, fitted_ms and the curve's name; of dense and head."""
    rows = []
    for operation, name, curve in (("dense", "tokens", terms.dense), ("head", "rows", terms.head)):
        for parameters, values in samples.of(operation):
            x = parameters[name]
            rows.append(_row(x, values, float(np.interp(x, curve.x, curve.y_s)), operation, "part"))
    return rows


def decode_rows(samples: Samples, terms: ModelTerms) -> list[Row]:
    """As `dense_rows`, over the context of all sequences together."""
    term, rows = terms.attn_decode, []
    for parameters, values in samples.of("decode_attention"):
        place = term.sequences.index(parameters["sequences"])
        x = parameters["sequences"] * parameters["context"]
        fitted = term.fixed_s[place] + term.per_context_token_s[place] * x
        rows.append(_row(x, values, fitted, f"{parameters['sequences']:.0f}", "sequences"))
    return sorted(rows, key=lambda row: (int(row["sequences"]), row["x"]))


def lora_rows(samples: Samples, terms: ModelTerms, shape: ModelShape) -> list[Row]:
    """As `dense_rows`; of the most slots, the smallest and largest rank, few and many adapters."""
    term, points = terms.lora, samples.of("lora")
    assert term is not None
    slots = max(p["slots"] for p, _ in points)
    ranks, counts = ({p[name] for p, _ in points if p["slots"] == slots} for name in ("rank", "adapters"))
    rows = []
    for p, values in points:
        if p["slots"] != slots or p["rank"] not in (min(ranks), max(ranks)):
            continue
        if p["adapters"] not in (min(counts), max(counts)):
            continue
        fitted = (
            term.fixed_s
            + term.per_slot_s * slots
            + p["adapters"] * term.per_adapter_s
            + p["adapters"] * adapter_bytes(shape, ALL_LINEAR, int(p["rank"])) * term.per_weight_byte_s
            + p["tokens"] * (term.per_token_s + p["rank"] * term.per_token_rank_s)
        )
        rows.append(_row(p["tokens"], values, fitted, f"{p['adapters']:.0f} × {p['rank']:.0f}", "kind"))
    return rows


def _row(x: float, values: list[float], fitted_s: float, name: str, by: str) -> Row:
    return {"x": x, "measured_ms": 1e3 * float(np.median(values)), "fitted_ms": 1e3 * fitted_s, by: name}


def _chart(rows: list[Row], title: str, x_title: str, by: str) -> Any:
    import altair as alt
    import pandas as pd

    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("x", scale=alt.Scale(type="log"), title=x_title),
        color=alt.Color(by, type="nominal", sort=list(dict.fromkeys(row[by] for row in rows))),
    )
    scale = alt.Scale(type="log")
    dots = base.mark_circle(size=30).encode(
        y=alt.Y("measured_ms", scale=scale, title="ms (dots measured, lines fitted)")
    )
    lines = base.mark_line(opacity=0.7).encode(y=alt.Y("fitted_ms", scale=scale))
    return (lines + dots).properties(width=520, height=260, title=title)
