"""What few need to change: the engine and its knobs, own prices, how far to look."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.catalog.capabilities import engines
from advisor.spec.engine import EngineWish
from advisor.spec.scenario import Search
from advisor.web import fields

_KNOBS: Final = ("max_loras", "max_cpu_loras", "max_num_seqs", "max_num_batched_tokens")
_DEGREES: Final = (1, 2, 4, 8)


def show_advanced() -> None:
    """Three columns: engine, prices, search."""
    engine, prices, search = st.columns(3)
    with engine:
        _engine()
    with prices:
        _prices()
    with search:
        _search()


def _engine() -> None:
    names = {row.name: row.name for row in engines()}
    fields.choice("Engine", "engine.name", names, "vllm", help=_said(EngineWish, "name"))
    for knob in _KNOBS:
        fields.number(f"{knob} (empty: searched)", f"engine.{knob}", help=_said(EngineWish, knob))


def _prices() -> None:
    """Own prices, one row a device."""
    rows = fields.value("prices.own", [])
    own = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    known = {str(row.get("device")): row for row in own}
    devices = fields.value("devices", [])
    names = [*dict.fromkeys([*(devices if isinstance(devices, list) else []), *known])]
    st.caption("Your own price of a device, USD an hour (empty: the catalog's median)")
    for name in names:

        def write(price: float | None, name: str = name) -> None:
            rest: dict[str, Any] = {other: row for other, row in known.items() if other != name}
            if price is not None:
                rest[name] = {"device": name, "price": fields.written(price, "price per hour")}
            fields.put({"prices.own": list(rest.values()) or None})

        shown = fields.magnitude(known.get(name, {}).get("price"), "price per hour", None)
        fields.box(str(name), fields.key_of(f"price {name}"), shown, write, placeholder="catalog")
    fields.faults("prices")


def _search() -> None:
    raw = fields.value("search.tensor_parallel", [1])
    own = [n for n in raw if isinstance(n, int)] if isinstance(raw, list) else [1]
    key = fields.key_of("search.tensor_parallel")
    st.multiselect(
        "Tensor parallel degrees",
        sorted({*_DEGREES, *own}),
        own,
        key=key,
        on_change=lambda: fields.put({"search.tensor_parallel": sorted(st.session_state[key]) or None}),
        help=_said(Search, "tensor_parallel"),
    )
    fields.number("Most replicas", "search.max_replicas", 64, help=_said(Search, "max_replicas"))
    fields.number("Requests of a trial", "search.requests", 2000, help=_said(Search, "requests"))
    fields.number("Seed", "seed", 0, help="The same seed gives the same answer, to the last byte.")
    fields.faults("search")


def _said(spec: Any, field: str) -> str:
    return str(spec.model_fields[field].description or "")
