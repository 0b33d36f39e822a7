"""Model and adapters."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.catalog.shapes import models
from advisor.spec.adapter import AdapterFolders, Adapters, ZipfPopularity
from advisor.web import fields, show

_EVEN, _FEW, _TRAFFIC, _SHARES = "even", "zipf", "trace", "shares"
_POPULARITY: Final = {
    _FEW: "A few get most requests (Zipf)",
    _TRAFFIC: "As the traffic names them",
    _SHARES: "A share for each (in the YAML)",
}


def show_adapters() -> None:
    """Which model, how many adapters of which rank, and how requests spread over them."""
    fields.choice("Base model", "model", {m.name: m.name for m in models()}, "Llama-3.1-8B")
    if "paths" in fields.value("adapters", {}):
        paths = fields.value("adapters.paths")
        count = len(paths) if isinstance(paths, list) else 0
        st.caption(f"{count} adapter folders, named in the YAML.")
        fields.faults("adapters.paths")
    else:
        left, right = st.columns(2)
        with left:
            fields.number("Adapters", "adapters.count", help=_said(Adapters, "count"))
        with right:
            _rank()
    _popularity()
    fields.faults("adapters")


def _rank() -> None:
    ranks = fields.value("adapters.ranks")
    if ranks:
        rows = [f"{row.get('rank')} ({row.get('share')})" for row in ranks if isinstance(row, dict)]
        st.markdown(f"Ranks (share)  \n{show.plain(', '.join(rows))}")
        fields.faults("adapters.ranks")
    else:
        fields.number("Rank", "adapters.rank", help="r in the adapter's adapter_config.json.")


def _popularity() -> None:
    if fields.value("adapters.count") in (0, 1):
        return
    spec: Any = AdapterFolders if "paths" in fields.value("adapters", {}) else Adapters
    kind = fields.choice(
        "Popularity",
        "adapters.popularity.kind",
        _POPULARITY,
        _FEW,
        help=_said(spec, "popularity"),
        changes=lambda chosen: {"adapters.popularity": _of(chosen)},
    )
    if kind == _FEW:
        fields.slider(
            "Zipf exponent",
            "adapters.popularity.exponent",
            [step / 10 for step in range(21)],
            1.0,
            help=_said(ZipfPopularity, "exponent"),
        )


def _of(kind: str) -> dict[str, Any]:
    if kind == _SHARES:
        count = fields.value("adapters.count", 1)
        return {"kind": kind, "shares": [1.0] * min(count if isinstance(count, int) else 1, 1000)}
    return {"kind": kind, "exponent": 1.0} if kind == _FEW else {"kind": kind}


def _said(spec: Any, field: str) -> str:
    """A field's own description: where a user finds the value."""
    return str(spec.model_fields[field].description or "")
