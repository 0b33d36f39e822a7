"""A picture a claim: measured with the range of its repeats, simulated beside it."""

from __future__ import annotations

from typing import Any

from calibration.claims.result import ClaimResult, Row

_MEASURED, _SIMULATED = "#4477aa", "#cc3311"
_WIDTH, _HEIGHT, _COLUMNS = 300, 190, 2


def svg(result: ClaimResult) -> str:
    """The chart of a claim as SVG on white.

    Ratios with a place on the axis are drawn over it, one panel a figure; else judged rows by setting.
    """
    import altair as alt
    import vl_convert as vlc

    placed = [row for row in result.outcome.rows if row.x is not None and not row.unit]
    rows = placed or [row for row in result.outcome.rows if row.judged]
    figures = list(dict.fromkeys(row.figure for row in rows))
    title = result.outcome.x_title if placed else ""
    panels = [_panel([row for row in rows if row.figure == figure], figure, title) for figure in figures]
    lines = [alt.hconcat(*panels[i : i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)]
    chart = alt.vconcat(*lines).properties(title=f"{result.claim}: measured (blue), simulated (red)")
    chart = chart.configure(background="white", font="Liberation Sans, Arial, sans-serif")
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    found: str = vlc.vegalite_to_svg(chart.to_dict(), vl_version=version)
    return found


def _panel(rows: list[Row], figure: str, x_title: str) -> Any:
    """One figure: a line through the simulated values, points with ranges for the measured ones."""
    import altair as alt

    values = [
        {"x": row.setting if row.x is None else row.x, "measured": row.measured, "low": row.low,
         "high": row.high, "simulated": row.simulated}
        for row in rows
    ]  # fmt: skip
    data = alt.InlineData(values=values)
    x: Any
    if rows[0].x is None:
        x = alt.X("x:N", sort=[row.setting for row in rows], title=None, axis=alt.Axis(labelAngle=-20))
    else:
        x = alt.X("x:Q", title=x_title, scale=_scale([row.x or 0.0 for row in rows]))
    title = f"{figure}, {rows[0].unit}" if rows[0].unit else figure
    base = alt.Chart(data)
    y = alt.Y("measured:Q", title=title, scale=alt.Scale(zero=False))
    seen = base.mark_point(filled=True, size=60, color=_MEASURED).encode(x=x, y=y)
    spread = base.mark_rule(color=_MEASURED, strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title=title, scale=alt.Scale(zero=False)), y2="high:Q"
    )
    said = base.mark_line(
        color=_SIMULATED,
        strokeDash=[5, 3],
        point=alt.OverlayMarkDef(shape="diamond", color=_SIMULATED, size=45),
    ).encode(x=x, y=alt.Y("simulated:Q", title=title, scale=alt.Scale(zero=False)))
    return alt.layer(said, spread, seen).properties(width=_WIDTH, height=_HEIGHT)


def _scale(places: list[float]) -> Any:
    """Logarithmic where places differ by more than ten times."""
    import altair as alt

    positive = min(places) > 0
    if positive and max(places) / min(places) > 10:
        return alt.Scale(type="log", nice=False, domain=[min(places) * 0.8, max(places) * 1.25])
    return alt.Scale(zero=False, padding=12)
