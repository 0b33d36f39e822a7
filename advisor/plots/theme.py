"""How every chart looks, and a chart as SVG or PNG, without browser and without network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from advisor.spec.spec import Origin

if TYPE_CHECKING:
    import altair as alt

    Drawn = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart

BLUE, RED, GREEN, YELLOW, CYAN, PURPLE, GREY = PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#8c8c8c",
)  # fmt: skip
"""Paul Tol's bright scheme (personal.sron.nl/~pault), its grey darkened to be seen on white."""

WAY_COLOURS: Final = {"base": GREY, "multi-lora": BLUE, "merged": PURPLE, "hybrid": GREEN}
LIMIT_COLOUR: Final = RED
CAUSE_COLOURS: Final = {
    "frontend": "#bbbbbb", "queue": YELLOW, "adapter_wait": "#dd8800", "load": RED, "preempted": "#882255",
    "dense": BLUE, "attention": CYAN, "head": "#77aadd", "lora": PURPLE, "draft": GREEN,
    "all_reduce": "#44bb99", "host": GREY, "start_up": "#661100",
}  # fmt: skip
ORIGIN_DASHES: Final[dict[Origin, list[int]]] = {
    Origin.MEASURED: [1, 0],
    Origin.FITTED: [8, 2],
    Origin.EXTRAPOLATED: [5, 3],
    Origin.ESTIMATED: [3, 3],
    Origin.DATASHEET: [1, 3],
}
ORIGIN_COLOURS: Final[dict[Origin, str]] = {
    Origin.MEASURED: BLUE,
    Origin.FITTED: CYAN,
    Origin.EXTRAPOLATED: YELLOW,
    Origin.ESTIMATED: RED,
    Origin.DATASHEET: PURPLE,
}
WIDTH: Final = 520
_MAX_TICKS: Final = 10
_DARK_INK: Final = "#1f2933"
_LIGHT_INK: Final = "#e3e8ee"
FONT: Final = (
    "Liberation Sans, Arial, Helvetica, sans-serif"  # the first is inside vl-convert: same size everywhere
)


def values(rows: list[dict[str, Any]]) -> alt.InlineData:
    """Rows as inline data."""
    import altair as alt

    return alt.InlineData(values=rows)


def log_ticks(numbers: Iterable[float]) -> tuple[alt.Scale, alt.Axis]:
    """A logarithmic scale with room around positive numbers, ticked at 1, 2 and 5 times powers of ten."""
    import altair as alt

    found = [number for number in numbers if number > 0] or [1.0]
    low, high = min(found) / 1.35, max(found) * 1.35
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [
        digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high
    ]
    if len(ticks) > _MAX_TICKS:
        ticks = [tick for tick in ticks if math.isclose(math.log10(tick), round(math.log10(tick)))]
    return alt.Scale(type="log", domain=[low, high], nice=False), alt.Axis(values=ticks, format=",.6~g")


def _config(ink: str) -> dict[str, Any]:
    axis = {
        "labelColor": ink, "titleColor": ink, "domainColor": ink, "tickColor": ink, "gridColor": ink,
        "gridOpacity": 0.12, "domainOpacity": 0.4, "tickOpacity": 0.4, "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260, "titlePadding": 8,
    }  # fmt: skip
    legend = {
        "labelColor": ink,
        "titleColor": ink,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelLimit": 260,
    }
    return {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "legend": {**legend, "titleFontWeight": "normal", "symbolStrokeColor": ink},
        "title": {"color": ink, "fontSize": 13, "anchor": "start", "fontWeight": "normal"},
        "text": {"color": ink, "fontSize": 12},
        "header": {"labelColor": ink, "titleColor": ink},
    }


def dressed(chart: Drawn, *, dark: bool) -> Drawn:
    """The chart for a page that draws it itself, light or dark.

    A reader hears the chart's description, not each of its marks: the rows are there as a table and a file.
    """
    config = _config(_LIGHT_INK if dark else _DARK_INK)
    return chart.properties(config={**config, "background": "transparent", "mark": {"aria": False}})


def _spec(chart: Drawn, ink: str) -> dict[str, Any]:
    spec: dict[str, Any] = chart.to_dict(validate=False)  # the tests validate every chart
    spec["config"] = _config(ink)
    return spec


def svg(chart: Drawn, prefix: str, label: str) -> str:
    """The chart as an SVG element for a page: it takes the page's text colour and has its own identifiers.

    Args:
        chart: any chart of this package.
        prefix: unique on the page; goes before every identifier inside.
        label: what the chart shows, for readers who do not see it.
    """
    import html

    import vl_convert

    text: str = vl_convert.vegalite_to_svg(_spec(chart, "currentColor"), vl_version=_version())
    named = f'<svg role="img" aria-label="{html.escape(label, quote=True)}"'
    return own_identifiers(text, prefix).replace("<svg", named, 1)


def own_identifiers(text: str, prefix: str) -> str:
    """Put a prefix before every identifier of an SVG and every reference to one: a page holds several."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)


def png(chart: Drawn, scale: float = 2.0) -> bytes:
    """The chart as a PNG on white."""
    import vl_convert

    spec = _spec(chart, _DARK_INK)
    spec["config"]["background"] = "white"
    content: bytes = vl_convert.vegalite_to_png(spec, vl_version=_version(), scale=scale)
    return content


def _version() -> str:
    import altair as alt

    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
