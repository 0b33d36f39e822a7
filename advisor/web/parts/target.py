"""The latency target, what is sought under it, and the budget."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.spec.objective import PRESETS, Metric
from advisor.web import fields, state

_OWN: Final = "own"
_PRESETS: Final = {
    "interactive": "Interactive: TTFT 500 ms, TPOT 30 ms",
    "chat": "Chat: TTFT 200 ms, TPOT 50 ms",
    "server": "Server: TTFT 2 s, TPOT 100 ms",
    "batch": "Batch: no limits",
}
_GOALS: Final = {"cheapest": "Cheapest that meets the limits", "fastest": "Fastest within the budget"}
_MEANING: Final = {
    Metric.TTFT: "Time to the first token.",
    Metric.TPOT: "Mean time of a later token: (E2E - TTFT) / (tokens - 1).",
    Metric.E2E: "Time until the last token.",
}
_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)


def show_target() -> None:
    """Limits on latency, one row a metric; the goal and the budget."""
    key = f"preset@{state.edition()}"
    st.selectbox(
        "Fill in the limits of a preset",
        [*_PRESETS],
        None,
        format_func=lambda name: _PRESETS[name],
        placeholder="Choose, or write your own below",
        key=key,
        on_change=lambda: _fill(st.session_state[key]),
    )
    limits = _limits()
    if limits is None:
        st.caption("Several limits on one metric: in the YAML.")
    else:
        for metric in Metric:
            _row(metric, limits)
    fields.faults("objective.slos", "objective.preset")
    left, right = st.columns(2)
    with left:
        fields.choice("Wanted", "objective.goal", _GOALS, "cheapest")
    with right:
        fields.number("Budget, USD/h (empty: none)", "objective.budget", unit="price per hour", whole=False)
    fields.faults("objective")


def _row(metric: Metric, limits: dict[Metric, dict[str, Any]]) -> None:
    own = limits.get(metric, {})
    percentile, limit = own.get("percentile", 99.0), fields.magnitude(own.get("limit"), "duration", None)
    left, right = st.columns([2, 3])
    name = metric.value.upper()
    keys = [fields.key_of(f"{metric.value} {what}") for what in ("percentile", "limit")]

    def write() -> None:
        percentile_, limit_ms = (st.session_state[key] for key in keys)
        row = {
            "metric": metric.value,
            "percentile": percentile_,
            "limit": f"{limit_ms:.10g}ms" if limit_ms else None,
        }
        _put(
            {**limits, metric: row}
            if limit_ms is not None
            else {m: r for m, r in limits.items() if m is not metric}
        )

    options = sorted({*_PERCENTILES, *([percentile] if isinstance(percentile, int | float) else [])})
    left.selectbox(
        f"{name} percentile", options, options.index(percentile) if percentile in options else 0,
        format_func=lambda p: f"{name} p{p:g}", key=keys[0], on_change=write,
    )  # fmt: skip
    shown = None if limit is None else limit * 1e3
    with right:
        fields.box(
            f"{name} limit, ms",
            keys[1],
            shown,
            lambda _: write(),
            help=_MEANING[metric],
            placeholder="no limit",
        )


def _limits() -> dict[Metric, dict[str, Any]] | None:
    """The limits that count, by metric, as the text writes them; None where a metric has several."""
    preset, rows = fields.value("objective.preset"), fields.value("objective.slos", [])
    own = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    names = [row.get("metric") for row in own]
    if len(set(names)) < len(names):
        return None
    found: dict[Metric, dict[str, Any]] = {}
    if preset in PRESETS:
        found = {slo.metric: slo.model_dump(mode="json") for slo in PRESETS[preset]}
    for row in own:
        if row.get("metric") in [metric.value for metric in Metric]:
            found[Metric(row["metric"])] = row
    return found


def _put(limits: dict[Metric, dict[str, Any]]) -> None:
    rows = [limits[metric] for metric in Metric if metric in limits]
    fields.put({"objective.preset": None, "objective.slos": rows or None})


def _fill(preset: str | None) -> None:
    if preset is not None:
        _put({slo.metric: slo.model_dump(mode="json") for slo in PRESETS[preset]})
        state.renew()
