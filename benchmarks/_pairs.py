"""Pairs of predicted and measured: kept as a CSV file, drawn as one panel a metric, summed up as errors."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advisor.files import write_text
from advisor.plots.theme import FONT, log_ticks
from benchmarks._page import ROOT

RESULTS = ROOT / "benchmarks" / "results"
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999"]


def write_pairs(name: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Keep rows (all with the same keys) as benchmarks/results/NAME.csv; floats with six digits."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    path = RESULTS / f"{name}.csv"
    write_text(path, out.getvalue())
    return path


def plot_pairs(name: str, rows: Sequence[dict[str, Any]], metrics: dict[str, str], group: str) -> Path:
    """Predicted over measured, logarithmic, with the line of equality: benchmarks/results/NAME.svg.

    Args:
        name: of the file.
        rows: each with predicted_METRIC and measured_METRIC, and a column `group` that colours.
        metrics: METRIC: title of its panel.
        group: column whose values are told apart.
    """
    import altair as alt

    legend = alt.Legend(orient="bottom", columns=1 if len(metrics) < 3 else 2, labelLimit=420)
    panels = []
    for metric, title in metrics.items():
        points = [
            {"m": row[f"measured_{metric}"], "p": row[f"predicted_{metric}"], "group": str(row[group])}
            for row in rows
            if row[f"measured_{metric}"] > 0 and row[f"predicted_{metric}"] > 0
        ]
        both = [point[side] for point in points for side in ("m", "p")]
        log, ticks = log_ticks(both)
        ends = [{"x": end, "y": end} for end in (min(both), max(both))]
        line = alt.Chart(_values(ends)).mark_line(color="gray", strokeDash=[4, 3])
        line = line.encode(x=alt.X("x:Q", scale=log), y=alt.Y("y:Q", scale=log))
        dots = alt.Chart(_values(points)).mark_point(size=14, opacity=0.6)
        dots = dots.encode(
            x=alt.X("m:Q", scale=log, axis=ticks, title=f"measured {title}"),
            y=alt.Y("p:Q", scale=log, axis=ticks, title=f"predicted {title}"),
            color=alt.Color("group:N", title=None, scale=alt.Scale(range=_COLOURS), legend=legend),
            shape=alt.Shape("group:N", title=None),
        )
        panels.append((line + dots).properties(width=250, height=250))
    path = RESULTS / f"{name}.svg"
    chart = alt.hconcat(*panels).properties(config={"font": FONT, "background": "white"})
    chart.save(path)
    return path


def percent(value: float, *, sign: bool = False) -> str:
    """A share as percent with one decimal."""
    return f"{100 * value:+.1f} %" if sign else f"{100 * value:.1f} %"


def relative(rows: Sequence[dict[str, Any]], metric: str) -> np.ndarray:
    """Predicted / measured - 1 of every row."""
    return np.asarray([row[f"predicted_{metric}"] / row[f"measured_{metric}"] - 1.0 for row in rows])


def _values(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair's schema classes are not typed
