"""Pictures of a validation as SVG: every cell on one plane, and the distributions of one option."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from calibration.validate.compare import SHARES
from calibration.validate.run import CaseResult, OptionResult

_MS: Final = 1e3
_PREDICTED, _MEASURED = "#0072B2", "#D55E00"


def scatter(cases: tuple[CaseResult, ...]) -> str:
    """Predicted over measured, every latency at p50 and p99, logarithmic, with the line of equality."""
    import altair as alt

    rows = list(_dots(cases))
    if not rows:
        return ""
    both = [row[side] for row in rows for side in ("measured", "predicted")]
    low, high = min(both), max(both)
    scale = alt.Scale(type="log", domain=[low * 0.8, high * 1.25])
    dots = (
        alt.Chart(_values(rows))
        .mark_point(filled=True, size=28, opacity=0.6)
        .encode(
            x=alt.X("measured:Q", scale=scale, title="measured, ms"),
            y=alt.Y("predicted:Q", scale=scale, title="predicted, ms"),
            color=alt.Color("figure:N", title=None),
            shape=alt.Shape("percentile:N", title=None),
        )
    )
    ends = _values([{"x": low, "y": low}, {"x": high, "y": high}])
    line = alt.Chart(ends).mark_line(color="#888", strokeDash=[4, 3]).encode(x="x:Q", y="y:Q")
    return _svg((line + dots).properties(width=560, height=440))


def distributions(option: OptionResult) -> str:
    """Shares of requests over TTFT, TPOT and E2E: predicted one line, each replay another."""
    import altair as alt

    colours = alt.Scale(domain=["predicted", "measured"], range=[_PREDICTED, _MEASURED])
    panels: list[Any] = []
    for latency, curves in option.curves.items():
        rows = [
            {"ms": _MS * value, "share": share, "side": side, "run": run}
            for side, run, values in (
                ("predicted", 0, curves.predicted_s),
                *(("measured", turn, values) for turn, values in enumerate(curves.replays_s, 1)),
            )
            for share, value in zip(SHARES, values, strict=True)
        ]
        panels.append(
            alt.Chart(_values(rows))
            .mark_line(interpolate="linear", strokeWidth=1.6)
            .encode(
                x=alt.X("ms:Q", title=f"{latency.upper()}, ms", scale=alt.Scale(zero=False)),
                y=alt.Y("share:Q", title="share of requests at or below", axis=alt.Axis(format="%")),
                color=alt.Color("side:N", title=None, scale=colours),
                strokeDash=alt.StrokeDash("side:N", title=None),
                order="share:Q",
                detail="run:N",
            )
            .properties(width=230, height=150)
        )
    return _svg(alt.hconcat(*panels)) if panels else ""


def _dots(cases: tuple[CaseResult, ...]) -> Iterator[dict[str, Any]]:
    for option in (option for case in cases for option in case.options):
        for latency in ("ttft", "tpot", "e2e"):
            left, right = (getattr(side, f"{latency}_s") for side in (option.predicted, option.measured))
            for percentile in ("p50", "p99"):
                if right[percentile] > 0 and left[percentile] > 0:
                    yield {
                        "figure": latency.upper(), "percentile": percentile,
                        "measured": _MS * right[percentile], "predicted": _MS * left[percentile],
                    }  # fmt: skip


def _values(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair's schema classes are not typed


def _svg(chart: Any) -> str:
    import vl_convert as vlc

    svg: str = vlc.vegalite_to_svg(chart.to_json())
    return svg
