"""A variant with some of its terms longer or shorter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from advisor.deployment import Drafting, Variant
from advisor.profile import LoadTerm, MemoryTerm, ModelTerms, Profile
from advisor.spec.speculation import Acceptance


def scaled(variant: Variant, factors: Mapping[str, float]) -> Variant:
    """The same variant with the terms of `factors` multiplied; names as in `robustness.inputs`.

    Seconds are multiplied, of `memory` the bytes of overhead, of an acceptance the share of accepted drafts
    (at most 1). A load's bandwidth is divided.
    """
    if not factors:
        return variant
    steps = [name for name in factors if name in ModelTerms.model_fields]
    terms = {name: _seconds(getattr(variant.terms, name), factors[name]) for name in steps}
    return replace(
        variant,
        terms=variant.terms.model_copy(update=terms),
        profile=_profile(variant.profile, factors),
        drafting=None if variant.drafting is None else _drafting(variant.drafting, factors),
    )


def _seconds(term: BaseModel, by: float) -> BaseModel:
    """Every field that is in seconds, or a table of them, multiplied."""
    names = [name for name in type(term).model_fields if name.endswith("_s") or name == "seconds"]
    return term.model_copy(update={name: _times(getattr(term, name), by) for name in names})


def _times(value: Any, by: float) -> Any:
    return tuple(_times(one, by) for one in value) if isinstance(value, tuple) else value * by


def _profile(profile: Profile, factors: Mapping[str, float]) -> Profile:
    changed: dict[str, object] = {
        name: _seconds(getattr(profile, name), factors[name])
        for name in ("host", "frontend")
        if name in factors
    }
    if "memory" in factors:
        changed["memory"] = _memory(profile.memory, factors["memory"])
    changed["loads"] = tuple(_load(load, factors.get(load.hop, 1.0)) for load in profile.loads)
    return profile.model_copy(update=changed)


def _memory(term: MemoryTerm, by: float) -> MemoryTerm:
    return term.model_copy(update={"overhead_bytes": term.overhead_bytes * by})


def _load(load: LoadTerm, by: float) -> LoadTerm:
    bandwidth = load.bandwidth_bytes_per_s / by
    return load.model_copy(update={"fixed_s": load.fixed_s * by, "bandwidth_bytes_per_s": bandwidth})


def _drafting(drafting: Drafting, factors: Mapping[str, float]) -> Drafting:
    cost = factors.get(f"draft:{drafting.term.method}", 1.0)
    accepted = factors.get(f"acceptance:{drafting.name or drafting.term.method}", 1.0)
    term = drafting.term if cost == 1.0 else drafting.term.model_copy(update=_costs(drafting, cost))
    return replace(
        drafting,
        term=term,
        base=_accepted(drafting.base, accepted),
        adapter=_accepted(drafting.adapter, accepted),
        own=tuple(replace(one, acceptance=_accepted(one.acceptance, accepted)) for one in drafting.own),
    )


def _costs(drafting: Drafting, by: float) -> dict[str, float]:
    names = ("fixed_s", "per_sequence_s", "per_context_token_s", "per_prompt_token_s")
    return {name: getattr(drafting.term, name) * by for name in names}


def _accepted(acceptance: Acceptance, by: float) -> Acceptance:
    if by == 1.0:
        return acceptance
    marginals = tuple(min(1.0, marginal * by) for marginal in acceptance.marginals)
    return acceptance.model_copy(update={"marginals": marginals})
