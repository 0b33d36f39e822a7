"""What load and slots do to latency, and how latency is distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from advisor.plots import theme
from advisor.plots.cost import origin_dash
from advisor.recommendation import Knee, LimitAtLoad, Option, Recommendation, SlotSweep
from advisor.tables.ranking import limit_name, recommended

if TYPE_CHECKING:
    import altair as alt

    from advisor.plots.theme import Drawn


def knee_limit(curve: Knee, metric: Literal["ttft", "tpot"]) -> LimitAtLoad | None:
    """The strictest percentile that the objective limits on this metric; None if it limits none."""
    found = [limit for limit in curve.limits if limit.metric == metric]
    return max(found, key=lambda limit: limit.percentile or 0.0, default=None)


def knee(rec: Recommendation, curve: Knee, metric: Literal["ttft", "tpot"]) -> Drawn:
    """Load against the latency that the objective limits (p99 where it limits none), replicas as they are.

    Dashes: the limit; the upright line: the asked load.
    """
    import altair as alt

    option, limit = recommended(rec), knee_limit(curve, metric)
    latency = limit.value if limit else curve.ttft_p99_s if metric == "ttft" else curve.tpot_p99_s
    name = limit_name(limit) if limit else f"{metric.upper()} p99"
    origin = option.origin.value if option else "estimated"
    rows: list[dict[str, Any]] = [
        {"load": load, "rate": rate, "ms": seconds * 1e3, "origin": origin}
        for load, rate, seconds in zip(curve.load, curve.rate_rps, latency, strict=True)
        if seconds > 0
    ]
    scale, axis = theme.log_ticks([*(row["ms"] for row in rows), *([limit.limit * 1e3] if limit else [])])
    base = alt.Chart(theme.values(rows)).encode(
        x=alt.X("load:Q", title="load (multiples of the asked one)", scale=alt.Scale(zero=True)),
        y=alt.Y("ms:Q", title=f"{name} (ms)", scale=scale, axis=axis),
        tooltip=["load:Q", "rate:Q", "ms:Q"],
    )
    asked = alt.Chart(theme.values([{"load": 1.0, "text": "asked"}]))
    dash = origin_dash("origin:N", "figures are").legend(None)
    layers = [
        asked.mark_rule(color=theme.GREY).encode(x="load:Q"),
        asked.mark_text(align="left", dx=4, y=6, color=theme.GREY).encode(x="load:Q", text="text:N"),
        base.mark_line(color=theme.BLUE, strokeWidth=2).encode(strokeDash=dash),
        base.mark_point(color=theme.BLUE, filled=True, size=45, opacity=1),
    ]  # fmt: skip
    if limit is not None:
        rule = alt.Chart(theme.values([{"limit": limit.limit * 1e3, "text": f"limit {name}"}]))
        layers += [
            rule.mark_rule(color=theme.LIMIT_COLOUR, strokeDash=[6, 4], strokeWidth=1.5).encode(y="limit:Q"),
            rule.mark_text(color=theme.LIMIT_COLOUR, align="left", dy=-7, x=4).encode(
                y="limit:Q", text="text:N"
            ),
        ]
    return alt.layer(*layers).properties(width=theme.WIDTH - 180, height=220)


def slots(sweep: SlotSweep) -> alt.HConcatChart:
    """Effect of max_loras on admission (TTFT), on the kernels (TPOT) and on memory (KV cache)."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"max_loras": n, "ttft": ttft * 1e3, "tpot": tpot * 1e3, "kv": kv / 1e3, "chosen": n == sweep.chosen}
        for n, ttft, tpot, kv in zip(
            sweep.max_loras, sweep.ttft_p99_s, sweep.tpot_mean_s, sweep.kv_tokens, strict=True
        )
    ]

    linear = (alt.Scale(zero=False, padding=10), alt.Axis(format=",.6~g", tickCount=5))

    def panel(field: str, title: str, scale: alt.Scale, axis: alt.Axis) -> Drawn:
        base = alt.Chart().encode(
            x=alt.X("max_loras:O", title="max_loras", axis=alt.Axis(labelAngle=0)),
            y=alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis),
        )
        return alt.layer(
            base.mark_line(color=theme.BLUE, strokeWidth=2),
            base.mark_point(color=theme.BLUE, filled=True, size=40, opacity=1),
            base.mark_point(color=theme.GREEN, size=260, strokeWidth=2.5).transform_filter("datum.chosen"),
        ).properties(width=175, height=170)  # fmt: skip

    panels = (
        panel("ttft", "TTFT p99 (ms)", *theme.log_ticks(row["ttft"] for row in rows)),
        panel("tpot", "TPOT mean (ms)", *linear),
        panel("kv", "KV cache (thousand tokens)", *linear),
    )
    return alt.hconcat(*panels, data=theme.values(rows), spacing=28)


def ranges(options: Sequence[tuple[str, Option]], metric: Literal["ttft", "tpot", "e2e"]) -> Drawn:
    """p50 to p99 of several options: a line from p50 to p99, marks at p50, p90, p95 and p99."""
    import altair as alt

    rows, marks = [], []
    for name, option in options:
        if option.outcome is not None:
            p = getattr(option.outcome, metric)
            rows.append(
                {"who": name, "low": p.p50_s * 1e3, "high": p.p99_s * 1e3, "origin": option.origin.value}
            )
            marks += [
                {"who": name, "ms": value * 1e3, "mark": mark}
                for mark, value in (("p50", p.p50_s), ("p90", p.p90_s), ("p95", p.p95_s), ("p99", p.p99_s))
            ]
    order = [row["who"] for row in rows]
    scale, axis = theme.log_ticks(mark["ms"] for mark in marks)
    lines = (
        alt.Chart(theme.values(rows))
        .mark_rule(color=theme.BLUE, strokeWidth=2)
        .encode(
            y=alt.Y("who:N", title=None, sort=order),
            x=alt.X("low:Q", title=f"{metric.upper()} (ms)", scale=scale, axis=axis),
            x2="high:Q",
            strokeDash=origin_dash("origin:N", "figures are"),
        )
    )
    shape = alt.Shape(
        "mark:N",
        title="percentile",
        scale=alt.Scale(
            domain=["p50", "p90", "p95", "p99"], range=["circle", "square", "diamond", "triangle-right"]
        ),
        legend=alt.Legend(orient="top"),
    )
    dots = (
        alt.Chart(theme.values(marks))
        .mark_point(filled=True, size=60, color=theme.BLUE, opacity=1)
        .encode(y=alt.Y("who:N", sort=order), x=alt.X("ms:Q", scale=scale), shape=shape)
    )
    return alt.layer(lines, dots).properties(width=theme.WIDTH - 240, height=alt.Step(24))
