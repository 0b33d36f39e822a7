"""Break-even maps with the user's own point on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.breakeven.answer import BreakEven, DraftCurve, MergeCurve, PackingCurve
from advisor.plots import theme

if TYPE_CHECKING:
    import altair as alt

    from advisor.plots.theme import Drawn


def merging(curve: MergeCurve, answer: BreakEven) -> Drawn:
    """Load and number of adapters: on which side merging costs no more than one multi-LoRA pool.

    The line is the crossing; the band its 90 % interval. Where there is no point, no load makes merging pay.
    """
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "adapters": p.adapters,
            "load": c.value,
            "low": c.value if c.low is None else c.low,
            "high": c.value if c.high is None else c.high,
            "text": c.words,
        }
        for p in curve.points
        if (c := p.crossing_rps).value
    ]
    own = {"adapters": answer.workload.adapters_deployed, "load": answer.workload.rate_rps}
    x_scale, x_axis = theme.log_ticks([*(v for row in rows for v in (row["low"], row["high"])), own["load"]])
    y_scale, y_axis = theme.log_ticks([*(p.adapters for p in curve.points), own["adapters"]])
    x = alt.X("load:Q", title="load (requests/s, all adapters)", scale=x_scale, axis=x_axis)
    y = alt.Y("adapters:Q", title="adapters", scale=y_scale, axis=y_axis)
    base = alt.Chart(theme.values(rows)).encode(x=x, y=y, tooltip=["adapters:Q", "load:Q", "text:N"])
    layers: list[Any] = [
        base.mark_rule(color=theme.BLUE, opacity=0.35, strokeWidth=6).encode(
            x=alt.X("low:Q", scale=x_scale, axis=x_axis, title="load (requests/s, all adapters)"), x2="high:Q"
        ),
        base.mark_line(color=theme.BLUE, strokeWidth=2).encode(order="adapters:Q"),
        base.mark_point(color=theme.BLUE, filled=True, size=60, opacity=1),
        *_yours(own, x, y),
    ]
    left, right = (
        alt.Chart(theme.values([{"side": words}])).encode(text="side:N")
        for words in ("← one pool costs less", "merging costs no more →")
    )
    layers += [
        left.mark_text(align="left", fontStyle="italic", x=6, y=10),
        right.mark_text(align="right", fontStyle="italic", x="width", y=10),
    ]
    return alt.layer(*layers).properties(width=theme.WIDTH, height=280)


def drafting(curve: DraftCurve, batch: float | None) -> Drawn:
    """Tokens of a verify step that speculation needs to pay, by batch, beside what this draft yields."""
    import altair as alt

    rows = [
        {
            "batch": p.batch,
            "needed": p.tokens_needed,
            "low": p.tokens_needed_low,
            "high": p.tokens_needed_high,
        }
        for p in curve.points
    ]
    scale, axis = theme.log_ticks(p.batch for p in curve.points)
    x = alt.X("batch:Q", title="running requests of a replica", scale=scale, axis=axis)
    y = alt.Y("needed:Q", title="tokens of a verify step", scale=alt.Scale(zero=False))
    base = alt.Chart(theme.values(rows)).encode(x=x, tooltip=["batch:Q", "needed:Q"])
    yields = alt.Chart(
        theme.values(
            [{"needed": curve.tokens_per_step, "text": f"{curve.draft} yields {curve.tokens_per_step:.2f}"}]
        )
    )
    layers: list[Any] = [
        base.mark_area(color=theme.BLUE, opacity=0.15).encode(
            y=alt.Y("low:Q", title="tokens of a verify step", scale=alt.Scale(zero=False)), y2="high:Q"
        ),
        base.mark_line(color=theme.BLUE, strokeWidth=2).encode(y=y),
        yields.mark_rule(color=theme.GREEN, strokeDash=[6, 4], strokeWidth=1.5).encode(y=y),
        yields.mark_text(color=theme.GREEN, align="left", dy=-7, x=4).encode(y=y, text="text:N"),
    ]
    if batch is not None and batch > 0:
        layers += _yours({"batch": batch, "needed": curve.tokens_per_step}, x, y)
    return alt.layer(*layers).properties(width=theme.WIDTH, height=260)


def packing(curve: PackingCurve, answer: BreakEven) -> Drawn:
    """What one multi-LoRA replica carries with so many adapters, beside what they ask for."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"adapters": count, "rps": value, "what": what}
        for what, values in (("carried by one replica", curve.carried_rps), ("asked for", curve.asked_rps))
        for count, value in zip(curve.adapters, values, strict=True)
        if value > 0
    ]
    own = {"adapters": answer.workload.adapters_deployed, "rps": answer.workload.rate_rps}
    x_scale, x_axis = theme.log_ticks([*curve.adapters, own["adapters"]])
    y_scale, y_axis = theme.log_ticks([*(row["rps"] for row in rows), own["rps"]])
    x = alt.X("adapters:Q", title="adapters", scale=x_scale, axis=x_axis)
    y = alt.Y("rps:Q", title="load (requests/s)", scale=y_scale, axis=y_axis)
    names = ["carried by one replica", "asked for"]
    colour = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=names, range=[theme.BLUE, theme.RED]),
        legend=alt.Legend(orient="bottom"),
    )
    base = alt.Chart(theme.values(rows)).encode(
        x=x, y=y, color=colour, tooltip=["adapters:Q", "rps:Q", "what:N"]
    )
    lines = [base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=45, opacity=1)]
    return alt.layer(*lines, *_yours(own, x, y)).properties(width=theme.WIDTH, height=260)


def _yours(point: dict[str, float], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The user's own point."""
    import altair as alt

    base = alt.Chart(theme.values([{**point, "text": "you"}])).encode(x=x, y=y)
    return [
        base.mark_point(color=theme.GREEN, size=260, strokeWidth=2.5, filled=False),
        base.mark_point(color=theme.GREEN, size=40, filled=True, opacity=1),
        base.mark_text(color=theme.GREEN, align="left", dx=12, fontWeight="bold").encode(text="text:N"),
    ]
