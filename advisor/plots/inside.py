"""What happens inside a replica: batch, queue, KV cache and adapters over time, and its requests."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from advisor.inside.phases import PHASES, Phases
from advisor.inside.run import Inside
from advisor.inside.states import States
from advisor.plots import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advisor.plots.theme import Drawn

_NAMES: Final = {
    "running": ("running (batch)", theme.BLUE),
    "waiting": ("waiting (queue)", theme.RED),
    "kv_share": ("KV cache in use", theme.PURPLE),
    "adapters_running": ("adapters in the batch", theme.BLUE),
    "slots_filled": ("slots filled", theme.GREEN),
}
_PHASE_COLOURS: Final = (theme.YELLOW, theme.RED, theme.CYAN, theme.BLUE)
BRUSH: Final = "stretch"


def rows_of(states: States, quantities: Sequence[str]) -> list[dict[str, Any]]:
    """One row a part and quantity: seconds, least, mean and most (per cent for the KV cache)."""
    rows = []
    for name in quantities:
        factor = 100.0 if name == "kv_share" else 1.0
        for i, (start, stop) in enumerate(pairwise(states.edges_s)):
            rows.append(
                {
                    "s": float(start + stop) / 2,
                    "what": _NAMES[name][0],
                    "least": factor * float(states.low[name][i]),
                    "mean": factor * float(states.mean[name][i]),
                    "most": factor * float(states.high[name][i]),
                }
            )
    return rows


def _over_time(
    states: States, quantities: Sequence[str], title: str, limit: tuple[float, str] | None
) -> Drawn:
    """Means as lines, least to most as bands; a limit as a dashed line where it is near."""
    import altair as alt

    rows = rows_of(states, quantities)
    top = max((row["most"] for row in rows), default=0.0)
    shown = limit if limit is not None and limit[0] <= max(4 * top, 1.0) else None
    high = max(top, 1.0, shown[0] if shown else 0.0) * 1.08
    names = [_NAMES[name] for name in quantities]
    colour = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=[name for name, _ in names], range=[one for _, one in names]),
        legend=alt.Legend(orient="top", symbolOpacity=1),
    )
    x = alt.X(
        "s:Q",
        title="time (s)",
        scale=alt.Scale(domain=[float(states.edges_s[0]), float(states.edges_s[-1])], nice=False),
    )
    base = alt.Chart(theme.values(rows)).encode(x=x, color=colour)
    y = alt.Scale(domain=[0, high], nice=False)
    layers = [
        base.mark_area(opacity=0.22, interpolate="step").encode(
            y=alt.Y("least:Q", title=title, scale=y), y2="most:Q"
        ),
        base.mark_line(strokeWidth=1.6, interpolate="step").encode(
            y=alt.Y("mean:Q", scale=y), tooltip=["s:Q", "what:N", "least:Q", "mean:Q", "most:Q"]
        ),
    ]
    if shown is not None:
        line = alt.Chart(theme.values([{"limit": shown[0], "text": shown[1]}]))
        layers += [
            line.mark_rule(color=theme.GREY, strokeDash=[6, 4]).encode(y="limit:Q"),
            line.mark_text(align="left", dy=-6, x=4).encode(y="limit:Q", text="text:N"),
        ]
    return alt.layer(*layers).properties(width=theme.WIDTH, height=150)


def batch(states: States, max_num_seqs: int) -> Drawn:
    """Requests that run and that wait."""
    limit = (float(max_num_seqs), f"max_num_seqs {max_num_seqs}")
    return _over_time(states, ("running", "waiting"), "requests", limit)


def kv_cache(states: States) -> Drawn:
    """Share of the KV blocks in use."""
    return _over_time(states, ("kv_share",), "KV blocks (%)", (100.0, "all blocks"))


def adapters(states: States, max_loras: int) -> Drawn:
    """Distinct adapters in the batch, and device slots that hold one."""
    limit = (float(max_loras), f"max_loras {max_loras}")
    return _over_time(states, ("slots_filled", "adapters_running"), "adapters", limit)


def overview(states: States) -> Drawn:
    """The batch over the whole run, with a brush that selects a stretch of it."""
    import altair as alt

    rows = rows_of(states, ("running",))
    chart: Drawn = (
        alt.Chart(theme.values(rows))
        .mark_area(color=theme.BLUE, opacity=0.45, interpolate="step")
        .encode(
            x=alt.X("s:Q", title="drag over a stretch to look closer (s)", scale=alt.Scale(nice=False)),
            y=alt.Y("most:Q", title="running"),
        )
        .add_params(alt.selection_interval(name=BRUSH, encodings=["x"]))
        .properties(width=theme.WIDTH, height=70)
    )
    return chart


def gantt(phases: Phases, from_s: float, to_s: float) -> Drawn:
    """One line a request: waiting, its adapter's load, prompt, decoding."""
    import altair as alt

    rows = [
        {
            "request": bar.request,
            "adapter": bar.adapter,
            "phase": bar.phase,
            "from_s": max(bar.from_s, from_s),
            "to_s": min(bar.to_s, to_s),
            "ms": 1e3 * (bar.to_s - bar.from_s),
        }
        for bar in phases.bars
        if bar.to_s > from_s and bar.from_s < to_s
    ]
    chart: Drawn = (
        alt.Chart(theme.values(rows))
        .mark_bar(height={"band": 0.8})
        .encode(
            x=alt.X("from_s:Q", title="time (s)", scale=alt.Scale(domain=[from_s, to_s], nice=False)),
            x2="to_s:Q",
            y=alt.Y(
                "request:O", title="request, by arrival", axis=alt.Axis(labels=False, ticks=False, grid=False)
            ),
            color=alt.Color(
                "phase:N",
                title=None,
                scale=alt.Scale(domain=list(PHASES), range=list(_PHASE_COLOURS)),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["request:O", "adapter:N", "phase:N", "ms:Q"],
        )
        .properties(width=theme.WIDTH, height=max(60, 7 * phases.shown))
    )
    return chart


_QUANTILES: Final = 200


def compared(inside: Inside, metric: Literal["ttft", "tpot"]) -> Drawn:
    """How latency is distributed: the plain base and this deployment, on the same requests and replicas."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    shares = np.linspace(0, 1, _QUANTILES + 1)
    for name, result in (("base model", inside.base), ("this deployment", inside.result)):
        latency_s = getattr(result, f"{metric}_s")[inside.counts]
        if metric == "tpot":  # an answer of one token has none
            latency_s = latency_s[result.output_tokens[inside.counts] > 1]
        found = np.quantile(latency_s, shares) if latency_s.size else np.zeros(0)
        rows += [
            {"who": name, "ms": 1e3 * float(q), "share": 100 * float(s)}
            for s, q in zip(shares, found, strict=False)
            if q > 0
        ]
    scale, axis = alt.Scale(zero=False), alt.Axis(format=",.6~g")
    if metric == "ttft":  # from a lone request to a long queue
        scale, axis = theme.log_ticks(row["ms"] for row in rows)
    colours = alt.Scale(domain=["base model", "this deployment"], range=[theme.GREY, theme.BLUE])
    chart: Drawn = (
        alt.Chart(theme.values(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("ms:Q", title=f"{metric.upper()} (ms)", scale=scale, axis=axis),
            y=alt.Y("share:Q", title="requests at or below (%)", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("who:N", title=None, scale=colours, legend=alt.Legend(orient="top")),
            strokeDash=alt.StrokeDash(
                "who:N", scale=alt.Scale(domain=list(colours.domain), range=[[5, 3], [1, 0]]), legend=None
            ),
            tooltip=["who:N", "ms:Q", "share:Q"],
        )
        .properties(width=theme.WIDTH - 100, height=220)
    )
    return chart
