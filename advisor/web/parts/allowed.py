"""What may be used: devices, ways to serve, drafts, prices."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.catalog.prices import price_of
from advisor.catalog.tables import NotInCatalogError
from advisor.profile import find_datasheets, find_profiles, profile_head
from advisor.web import fields, state

_WAYS: Final = {
    "base": "base model (for comparison)",
    "multi-lora": "one multi-LoRA pool",
    "merged": "merged, one each",
    "hybrid": "hottest merged, rest pooled",
}
_TIERS: Final = {"on-demand": "On demand", "spot": "Spot (may be taken away)"}
_DRAFTS: Final = {
    "ngram": "n-gram (copies from the prompt)",
    "eagle3": "EAGLE-3 head",
    "draft_model": "draft model",
}


def show_allowed() -> None:
    """Devices with their price, ways to serve, drafts."""
    fields.several(
        "Devices (USD an hour each)",
        "devices",
        _devices(),
        (),
        placeholder="every device that has a profile",
        help="Those with a profile for the engine; a datasheet alone is taken only if chosen here. "
        "Your own price: under Advanced.",
    )
    fields.several("Ways to serve", "search.ways", _WAYS, list(_WAYS))
    _drafts()
    fields.choice("Prices", "prices.tier", _TIERS, "on-demand")


@st.cache_data(max_entries=8)
def _with_profile(engine: str) -> dict[str, str]:
    """Devices, with a remark on those that nobody measured."""
    found: dict[str, str] = {}
    for files, remark in ((find_datasheets(), ", by its datasheet"), (find_profiles(), "")):
        heads = (profile_head(path) for path in files.values())
        found |= {head.device: remark for head in heads if head is not None and head.engine == engine}
    return dict(sorted(found.items()))


def _devices() -> dict[str, str]:
    question = state.question()
    wish = None if question is None else question.scenario.prices
    found = {}
    for name, remark in _with_profile(str(fields.value("engine.name", "vllm"))).items():
        try:
            found[name] = f"{name} {price_of(name, wish).usd_per_hour:.2f}{remark}"
        except NotInCatalogError:
            found[name] = f"{name} (no price{remark})"
    return found


def _drafts() -> None:
    """Speculative decoding: which drafts may be tried; each keeps what the text says about it."""
    rows = fields.value("speculation.drafts", [])
    own = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    methods = [str(row.get("method")) for row in own]
    key = fields.key_of("speculation.drafts")

    def write() -> None:
        kept = [row for row in own if str(row.get("method")) in st.session_state[key]]
        new: list[dict[str, Any]] = [{"method": m} for m in st.session_state[key] if m not in methods]
        fields.put({"speculation.drafts": [*kept, *new] or None})

    st.multiselect(
        "Speculative decoding with",
        [*_DRAFTS],
        list(dict.fromkeys(method for method in methods if method in _DRAFTS)),
        format_func=lambda method: _DRAFTS[method],
        key=key,
        on_change=write,
        placeholder="none",
        help="Drafts that may be tried beside none. Acceptance and draft model: in the YAML.",
    )
    fields.faults("speculation")
