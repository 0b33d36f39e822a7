"""The traffic: as of a real service, by own numbers, or a trace that is uploaded."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.errors import InputError
from advisor.trace.fitted import load_fitted, workload_names
from advisor.web import fields, show, state, uploads

_KINDS: Final = {
    "generator": "My own numbers",
    "fitted": "Like a real service",
    "trace": "My trace (upload)",
    "streams": "One process an adapter (in the YAML)",
}
_RATES: Final = (0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
_LENGTHS: Final = (
    20, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1500, 2000, 2500, 3000, 4000, 5000, 6000,
    8000, 12000, 16000,
)  # fmt: skip
_ARRIVALS: Final = {
    "poisson": "Independent (Poisson)",
    "gamma": "In bursts (Gamma)",
    "on-off": "On and off",
    "diurnal": "With the time of day",
}
_RATE_FIELD: Final = {"poisson": "rate", "gamma": "rate", "on-off": "rate_on", "diurnal": "mean_rate"}
_SCALES: Final = (0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 5, 10)


def show_traffic() -> None:
    """How many requests, when, how long."""
    kind = fields.choice("Requests come", "workload.kind", _KINDS, "generator", changes=_switched)
    parts = {"generator": _generator, "fitted": _fitted, "trace": _trace}
    if kind in parts:
        parts[kind]()
    fields.faults("workload")


def _generator() -> None:
    arrivals = fields.value("workload.arrivals.kind", "poisson")
    left, right = st.columns(2)
    with left:
        fields.choice(
            "Arrivals",
            "workload.arrivals.kind",
            _ARRIVALS,
            "poisson",
            changes=lambda chosen: {"workload.arrivals": _arrivals(chosen)},
        )
    with right:
        fields.slider(
            "Load", f"workload.arrivals.{_RATE_FIELD.get(arrivals, 'rate')}", _RATES, 5.0, unit="rate"
        )
    if arrivals == "gamma":
        fields.slider(
            "Burstiness (cv)",
            "workload.arrivals.cv",
            (0.5, 1, 1.5, 2, 3, 4, 5),
            1.5,
            help="Coefficient of variation of the gaps: 1 is Poisson, above comes in bursts.",
        )
    _length("Prompt tokens", "workload.prompt_tokens")
    _length("Answer tokens", "workload.output_tokens")


def _length(label: str, path: str) -> None:
    kind = fields.value(f"{path}.kind")
    if kind == "lognormal":
        left, right = st.columns(2)
        with left:
            fields.slider(f"{label}, median", f"{path}.median", _LENGTHS, 500)
        with right:
            fields.slider(f"{label}, p95", f"{path}.p95", _LENGTHS, 2000)
    elif kind == "fixed":
        fields.slider(label, f"{path}.tokens", _LENGTHS, 500)
    else:
        st.caption(f"{label}: {show.plain(str(kind))}, in the YAML.")
    fields.faults(path)


def _fitted() -> None:
    names = {name: load_fitted(name) for name in workload_names()}
    mixes = {name: model.title or name for name, model in names.items() if model.clients}
    laws = {name: model.title or name for name, model in names.items()}
    fields.choice("Lengths and times of", "workload.name", laws, next(iter(laws)))
    fields.choice(
        "Popularity and bursts of",
        "workload.tenants",
        {"": "the adapters' own popularity", **mixes},
        "",
        changes=lambda chosen: {
            "workload.tenants": chosen or None,
            "adapters.popularity": {"kind": "trace"} if chosen else {"kind": "zipf", "exponent": 1.0},
        },
    )
    fields.slider("Load", "workload.rate", _RATES, _own_rate(names), unit="rate")


def _own_rate(models: dict[str, Any]) -> float:
    name = fields.value("workload.name")
    return float(models[name].arrivals.rate_rps) if name in models else 5.0


def _trace() -> None:
    path = fields.value("workload.path")
    if path:
        st.caption(f"Requests of {show.plain(str(path))}")
    key = f"trace file@{state.edition()}"
    st.file_uploader(
        "A trace: Azure, Mooncake, BurstGPT, Vidur, Splitwise or plain columns",
        type=list(uploads.ENDINGS),
        key=key,
        on_change=lambda: _uploaded(key),
        help="CSV, JSONL or Parquet, plain or gzip; its columns tell the layout. One row a request.",
    )
    fields.slider("Load, times the trace's own", "workload.rate_scale", _SCALES, 1.0)


def _uploaded(key: str) -> None:
    given = st.session_state[key]
    if given is None:
        return
    try:
        kept = uploads.keep(given.getvalue(), given.name, uploads.opened().folder)
    except InputError as error:
        state.set_failed(str(error))
        return
    fields.put({"workload.path": kept.path})


def _switched(kind: str) -> dict[str, Any]:
    """What another kind of traffic writes: its own fields, at the same load where there was one."""
    rate = fields.value("workload.rate") or _first_rate()
    work: dict[str, dict[str, Any]] = {
        "generator": {
            "arrivals": {"kind": "poisson", "rate": rate},
            "prompt_tokens": {"kind": "lognormal", "median": 500, "p95": 2000, "maximum": 8000},
            "output_tokens": {"kind": "lognormal", "median": 150, "p95": 500, "maximum": 2000},
            "duration": "10min",
        },
        "fitted": {"name": "azure_conv_2023", "rate": rate, "duration": "20min"},
        "trace": {"path": ""},
        "streams": {"streams": [], "duration": "10min"},
    }
    written: dict[str, Any] = {"workload": {"kind": kind, **work[kind]}}
    if fields.value("adapters.popularity.kind") == "trace":
        written["adapters.popularity"] = {"kind": "zipf", "exponent": 1.0}
    return written


def _first_rate() -> str:
    found = fields.value("workload.arrivals", {})
    rates = [found.get(name) for name in _RATE_FIELD.values()] if isinstance(found, dict) else []
    return next((rate for rate in rates if isinstance(rate, str)), "5 req/s")


def _arrivals(kind: str) -> dict[str, Any]:
    rate = _first_rate()
    more: dict[str, dict[str, Any]] = {
        "poisson": {},
        "gamma": {"cv": 1.5},
        "on-off": {"mean_on": "60s", "mean_off": "60s"},
        "diurnal": {"amplitude": 0.5, "period": "24h"},
    }
    return {"kind": kind, _RATE_FIELD[kind]: rate, **more[kind]}
