"""Scenarios that are valid by construction, as the raw mappings that YAML would hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from advisor.spec.model import ALL_LINEAR
from advisor.spec.quantities import duration_text

_NAMES = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() == text)
_RATES = st.floats(1e-3, 1e4).map(lambda rate: f"{rate!r} req/s")
_DURATIONS = st.floats(1e-4, 1e6).map(duration_text)
_SHARES = st.floats(0.001, 1.0)


def _mapping(
    required: dict[str, Any], optional: dict[str, Any] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional or {})


_ARRIVALS = st.one_of(
    _mapping({"kind": st.just("poisson"), "rate": _RATES}),
    _mapping({"kind": st.just("gamma"), "rate": _RATES, "cv": st.floats(0.1, 20)}),
    _mapping({"kind": st.just("on-off"), "rate_on": _RATES, "mean_on": _DURATIONS, "mean_off": _DURATIONS}),
)
_LENGTHS = st.one_of(
    _mapping({"kind": st.just("fixed"), "tokens": st.integers(1, 10_000)}),
    _mapping({"kind": st.just("lognormal"), "median": st.floats(1, 500), "p95": st.floats(501, 5000)}),
)
_WORKLOADS = st.one_of(
    _mapping(
        {
            "kind": st.just("generator"),
            "arrivals": _ARRIVALS,
            "prompt_tokens": _LENGTHS,
            "output_tokens": _LENGTHS,
            "duration": _DURATIONS,
        },
        {"shared_prefix": _mapping({"tokens": st.integers(1, 1000)}, {"share": _SHARES})},
    ),
    _mapping(
        {"kind": st.just("trace"), "path": _NAMES}, {"start": _DURATIONS, "rate_scale": st.floats(0.1, 10)}
    ),
    _mapping({"kind": st.just("fitted"), "name": _NAMES}, {"rate": _RATES, "tenants": _NAMES}),
)


@st.composite
def _adapters(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"paths": draw(st.lists(_NAMES, min_size=1, max_size=4))}
    count = draw(st.integers(1, 30))
    shares = st.lists(_SHARES, min_size=count, max_size=count)
    popularity = st.one_of(
        _mapping({"kind": st.just("zipf"), "exponent": st.floats(0, 5)}),
        _mapping({"kind": st.just("shares"), "shares": shares}),
    )
    ranks = st.lists(_mapping({"rank": st.integers(1, 512), "share": _SHARES}), min_size=1, max_size=3)
    rank = draw(st.one_of(st.integers(1, 512).map(lambda r: {"rank": r}), ranks.map(lambda r: {"ranks": r})))
    modules = st.lists(st.sampled_from(ALL_LINEAR), min_size=1, unique=True)
    optional = draw(
        _mapping(
            {},
            {
                "target_modules": modules,
                "popularity": popularity,
                "base_share": st.floats(0, 0.99),
                "use_dora": st.booleans(),
            },
        )
    )
    return {"count": count, **rank, **optional}


def scenario_mappings() -> st.SearchStrategy[dict[str, Any]]:
    """Raw scenarios with most fields now and then."""
    slo = _mapping(
        {"metric": st.sampled_from(["ttft", "tpot", "e2e"]), "limit": _DURATIONS},
        {"percentile": st.floats(0.1, 99.9)},
    )
    objective = _mapping(
        {},
        {
            "preset": st.sampled_from(["interactive", "chat", "server", "batch"]),
            "slos": st.lists(slo, max_size=3),
            "budget": st.floats(0, 1e6).map(lambda usd: f"{usd!r} USD/h"),
        },
    )
    drafts = st.lists(
        _mapping({"method": st.sampled_from(["ngram", "eagle3"])}, {"custom": st.booleans()}), max_size=2
    )
    return _mapping(
        {
            "schema_version": st.just(1),
            "model": _NAMES,
            "adapters": _adapters(),
            "workload": _WORKLOADS,
        },
        {
            "name": _NAMES,
            "objective": objective,
            "engine": _mapping(
                {}, {"name": st.sampled_from(["vllm", "sglang"]), "max_loras": st.integers(1, 99)}
            ),
            "speculation": _mapping({"drafts": drafts}),
            "devices": st.lists(_NAMES, max_size=3, unique=True),
            "prices": _mapping(
                {}, {"own": st.lists(_mapping({"device": _NAMES, "price": st.just("2.5 USD/h")}), max_size=2)}
            ),
            "search": _mapping({}, {"tensor_parallel": st.just([1, 2]), "requests": st.integers(100, 9999)}),
            "seed": st.integers(0, 2**63 - 1),
        },
    )
