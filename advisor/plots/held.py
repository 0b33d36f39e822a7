"""Measured against predicted and fitted: one dot a figure, a point or a step; on the line they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advisor.fitted import Fitted
from advisor.held import Held
from advisor.plots import theme
from advisor.profile import Profile
from advisor.spec.spec import Origin
from advisor.tables.known import profile_terms

if TYPE_CHECKING:
    import altair as alt

    from advisor.plots.theme import Drawn


def _diagonal(rows: list[dict[str, Any]], titles: tuple[str, str], colour: alt.Color) -> Drawn:
    """Dots of `measured` and `predicted` on equal logarithmic axes, with the line where they agree."""
    import altair as alt

    rows = [row for row in rows if row["measured"] > 0 and row["predicted"] > 0]
    scale, axis = theme.log_ticks(row[side] for row in rows for side in ("measured", "predicted"))
    ends = [{"measured": edge, "predicted": edge} for edge in scale.domain]
    x = alt.X("measured:Q", title=titles[0], scale=scale, axis=axis)
    y = alt.Y("predicted:Q", title=titles[1], scale=scale, axis=axis)
    line = alt.Chart(theme.values(ends)).mark_line(color=theme.GREY, strokeDash=[5, 4]).encode(x=x, y=y)
    told = [
        alt.Tooltip(name, type="quantitative" if isinstance(value, float) else "nominal")
        for name, value in (rows[0] if rows else {}).items()
    ]
    dots = (
        alt.Chart(theme.values(rows))
        .mark_point(filled=True, size=45, opacity=0.75)
        .encode(x=x, y=y, color=colour, shape=alt.Shape(colour.shorthand, title=None), tooltip=told)
    )
    return alt.layer(line, dots).properties(width=theme.WIDTH - 120, height=300)


def held(rows: Sequence[Held]) -> Drawn:
    """Latencies, measured against predicted (ms); those that hold and those that do not."""
    import altair as alt

    words = {True: "holds", False: "does not hold", None: "not judged"}
    shown = [
        {
            "measured": 1e3 * row.measured,
            "predicted": 1e3 * row.predicted,
            "figure": row.figure,
            "run": row.run,
            "verdict": words[row.holds],
        }
        for row in rows
        if row.unit == "s"
    ]
    scale = alt.Scale(domain=list(words.values()), range=[theme.BLUE, theme.RED, theme.GREY])
    colour = alt.Color("verdict:N", title=None, scale=scale, legend=alt.Legend(orient="top"))
    return _diagonal(shown, ("measured (ms)", "predicted (ms)"), colour)


def steps(found: Fitted) -> Drawn:
    """Steps of the engine, measured against what the profile says (ms)."""
    import altair as alt

    rows = [
        {
            "measured": 1e3 * step.measured_s,
            "predicted": 1e3 * step.predicted_s,
            "kind": f"{step.kind}{'' if step.seen else ' (in no fit)'}",
            "tokens": step.tokens,
        }
        for step in found.steps
    ]
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(range=list(theme.PALETTE)),
        legend=alt.Legend(orient="top", columns=2),
    )
    return _diagonal(rows, ("measured step (ms)", "step by the profile (ms)"), colour)


def term(found: Fitted, name: str) -> Drawn:
    """One term: medians of the samples as dots, what is fitted to them as lines."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"x": p.x, "measured_ms": 1e3 * p.measured_s, "fitted_ms": 1e3 * p.fitted_s, "curve": p.curve or name}
        for p in found.points
        if p.term == name and p.x > 0
    ]
    x_scale, x_axis = theme.log_ticks(row["x"] for row in rows)
    y_scale, y_axis = theme.log_ticks(row[side] for row in rows for side in ("measured_ms", "fitted_ms"))
    titles = {"head": "rows", "attention": "context tokens of all sequences"}
    base = alt.Chart(theme.values(rows)).encode(
        x=alt.X("x:Q", title=titles.get(name, "tokens of the step"), scale=x_scale, axis=x_axis),
        color=alt.Color(
            "curve:N",
            title=None,
            sort=list(dict.fromkeys(row["curve"] for row in rows)),
            scale=alt.Scale(range=list(theme.PALETTE)),
            legend=alt.Legend(orient="top", columns=4),
        ),
    )
    lines = base.mark_line(strokeWidth=1.6).encode(
        y=alt.Y("fitted_ms:Q", title="ms", scale=y_scale, axis=y_axis)
    )
    dots = base.mark_point(filled=True, size=40, opacity=0.9).encode(
        y=alt.Y("measured_ms:Q", scale=y_scale, axis=y_axis),
        tooltip=["curve:N", "x:Q", "measured_ms:Q", "fitted_ms:Q"],
    )
    return alt.layer(lines, dots).properties(width=theme.WIDTH - 120, height=240)


def intervals(profile: Profile) -> Drawn:
    """How far off each kind of term may be: the widest interval among its terms, coloured by its origin."""
    import altair as alt

    widest: dict[str, dict[str, Any]] = {}
    for _, name, origin, low, high, _ in profile_terms(profile).rows:
        assert isinstance(low, float | int)
        assert isinstance(high, float | int)
        row = {"term": name, "origin": origin, "low": low, "high": high, "one": 1.0}
        known = widest.get(str(name))
        if known is None or high / low > known["high"] / known["low"]:
            widest[str(name)] = row
    rows = list(widest.values())
    used = [origin for origin in Origin if any(row["origin"] == origin.value for row in rows)]
    colours = alt.Scale(domain=[o.value for o in used], range=[theme.ORIGIN_COLOURS[o] for o in used])
    scale, axis = theme.log_ticks(row[side] for row in rows for side in ("low", "high"))
    base = alt.Chart(theme.values(rows)).encode(
        y=alt.Y("term:N", title=None, sort=[row["term"] for row in rows]),
        color=alt.Color("origin:N", title="figure is", scale=colours, legend=alt.Legend(orient="top")),
    )
    lines = base.mark_rule(strokeWidth=4).encode(
        x=alt.X("low:Q", title="the truth is within these multiples (about 90 %)", scale=scale, axis=axis),
        x2="high:Q",
    )
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(
        x="one:Q", tooltip=["term:N", "origin:N", "low:Q", "high:Q"]
    )
    return alt.layer(lines, dots).properties(width=theme.WIDTH - 150, height=alt.Step(22))
