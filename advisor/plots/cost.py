"""What it costs against how fast it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from advisor.plots import theme
from advisor.recommendation import Option, Recommendation, SloCheck
from advisor.spec.spec import Origin
from advisor.tables.ranking import WAYS, hardware, label, limit_name, serving

if TYPE_CHECKING:
    import altair as alt

    from advisor.plots.theme import Drawn

Metric = Literal["ttft", "tpot"]


def limit_of(rec: Recommendation, metric: Metric) -> SloCheck | None:
    """The objective's limit on this metric, the strictest percentile; None if there is none."""
    checks = [check for option in rec.options for check in option.checks if check.metric == metric]
    return max(checks, key=lambda check: check.percentile or 0.0, default=None)


def _latency_s(option: Option, metric: Metric, limit: SloCheck | None) -> float | None:
    for check in option.checks:
        if limit is not None and check.metric == metric and check.percentile == limit.percentile:
            return check.value
    if option.outcome is None:
        return None
    return option.outcome.ttft.p99_s if metric == "ttft" else option.outcome.tpot.p99_s


def points(rec: Recommendation, metric: Metric) -> list[dict[str, Any]]:
    """One row an option with a price and a simulation: cost, latency, what it is, whether on the front."""
    limit = limit_of(rec, metric)
    rows: list[dict[str, Any]] = []
    for option in rec.options:
        latency = _latency_s(option, metric, limit)
        if option.usd_per_hour and latency:
            rows.append(
                {
                    "usd_per_hour": option.usd_per_hour,
                    "latency_ms": latency * 1e3,
                    "way": WAYS[option.way],
                    "device": option.device,
                    "option": label(option),
                    "meets": option.feasible,
                    "recommended": option.key == rec.recommended,
                    "reference": option.is_reference,
                    "origin": option.origin.value,
                }
            )
    _mark_front(rows)
    return rows


def _mark_front(rows: list[dict[str, Any]]) -> None:
    """Mark the options that no other beats in cost and in latency; only such as meet the objective."""
    best = float("inf")
    for row in sorted(rows, key=lambda r: (r["usd_per_hour"], r["latency_ms"])):
        row["front"] = bool(row["meets"] and not row["reference"] and row["latency_ms"] < best)
        best = min(best, row["latency_ms"]) if row["front"] else best


def cost_latency(rec: Recommendation, metric: Metric) -> Drawn:
    """Cost against a tail latency: filled meets the objective, the line is the front, dashes the limit."""
    import altair as alt

    rows, limit = points(rec, metric), limit_of(rec, metric)
    name = limit_name(limit) if limit else f"{metric.upper()} p99"
    bounds = [row["latency_ms"] for row in rows] + ([limit.limit * 1e3] if limit else [])
    x_scale, x_axis = theme.log_ticks(row["usd_per_hour"] for row in rows)
    y_scale, y_axis = theme.log_ticks(bounds)
    x = alt.X("usd_per_hour:Q", title="cost of the whole deployment ($/hour)", scale=x_scale, axis=x_axis)
    y = alt.Y("latency_ms:Q", title=f"{name} (ms)", scale=y_scale, axis=y_axis)
    ways = [WAYS[way] for way in theme.WAY_COLOURS]
    marks = alt.Chart().encode(
        x=x,
        y=y,
        color=alt.Color(
            "way:N", title="way to serve", scale=alt.Scale(domain=ways, range=[*theme.WAY_COLOURS.values()])
        ),
        shape=alt.Shape("device:N", title="device"),
        tooltip=["option:N", "usd_per_hour:Q", "latency_ms:Q", "origin:N"],
    )
    front = alt.Chart().mark_line(color=theme.GREEN, strokeWidth=1.5, opacity=0.8).encode(x=x, y=y)
    layers = [
        front.transform_filter("datum.front"),
        marks.mark_point(filled=False, size=70, opacity=0.6).transform_filter("!datum.meets"),
        marks.mark_point(filled=True, size=90, opacity=0.95).transform_filter("datum.meets"),
        alt.Chart().mark_point(size=330, color=theme.GREEN, strokeWidth=2.5, filled=False).encode(x=x, y=y)
        .transform_filter("datum.recommended"),
        alt.Chart().mark_text(align="left", dx=11, dy=15, fontWeight="bold").encode(x=x, y=y, text="device:N")
        .transform_filter("datum.recommended"),
    ]  # fmt: skip
    if limit is not None:
        layers += _limit_line(limit.limit * 1e3)
    return alt.layer(*layers, data=theme.values(rows)).properties(width=theme.WIDTH - 130, height=300)


def _limit_line(limit_ms: float) -> list[alt.Chart]:
    import altair as alt

    rule = alt.Chart(theme.values([{"limit": limit_ms, "text": "limit"}]))
    return [
        rule.mark_rule(color=theme.LIMIT_COLOUR, strokeDash=[6, 4], strokeWidth=1.5).encode(y="limit:Q"),
        rule.mark_text(color=theme.LIMIT_COLOUR, align="right", dy=-6, x="width").encode(
            y="limit:Q", text="text:N"
        ),
    ]


def prices(options: Sequence[Option], recommended: str | None) -> Drawn:
    """Price of each option that has one; the bar's outline says how sure its latency is."""
    import altair as alt

    rows = [
        {
            "option": f"{serving(o)} · {hardware(o)}",
            "usd_per_hour": o.usd_per_hour,
            "way": WAYS[o.way],
            "origin": o.origin.value,
            "text": f"${o.usd_per_hour:,.2f}" + (" · recommended" if o.key == recommended else ""),
        }
        for o in options
        if o.usd_per_hour is not None
    ]
    order = [str(row["option"]) for row in rows]
    base = alt.Chart(theme.values(rows)).encode(
        y=alt.Y("option:N", title=None, sort=order),
        x=alt.X("usd_per_hour:Q", title="cost of the whole deployment ($/hour)"),
    )
    ways = [WAYS[way] for way in theme.WAY_COLOURS]
    bars = base.mark_bar(strokeWidth=1.6, fillOpacity=0.55).encode(
        color=alt.Color(
            "way:N", title="way to serve", scale=alt.Scale(domain=ways, range=[*theme.WAY_COLOURS.values()])
        ),
        stroke=alt.Stroke(
            "way:N", legend=None, scale=alt.Scale(domain=ways, range=[*theme.WAY_COLOURS.values()])
        ),
        strokeDash=origin_dash("origin:N", "figures are").legend(None),
    )
    labels = base.mark_text(align="left", dx=5).encode(text="text:N")
    return alt.layer(bars, labels).properties(width=theme.WIDTH - 240, height=alt.Step(24))


def origin_dash(field: str, title: str) -> alt.StrokeDash:
    """The origin of a figure as line style, the same in every chart."""
    import altair as alt

    domain = [origin.value for origin in Origin]
    styles = [theme.ORIGIN_DASHES[origin] for origin in Origin]
    return alt.StrokeDash(
        field,
        title=title,
        scale=alt.Scale(domain=domain, range=styles),
        legend=alt.Legend(
            symbolType="stroke",
            symbolStrokeColor=theme.GREY,
            symbolStrokeWidth=2,
            symbolOpacity=1,
            symbolSize=260,
            orient="bottom",
            columns=3,
        ),
    )
