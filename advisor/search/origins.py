"""Which terms the predicted time rests on, where they come from, and how much of the busy time each is."""

from __future__ import annotations

import math

from advisor.deployment import Variant
from advisor.recommendation import Outcome, TermOrigin
from advisor.spec.spec import Origin, worst

_SMALL = 0.05
_OF_CAUSE = {
    "dense": "dense",
    "attention": "attention",
    "head": "head",
    "lora": "lora",
    "draft": "draft",
    "all_reduce": "all_reduce",
    "host": "host",
    "load": "load",
    "frontend": "frontend",
}


def terms_of(variant: Variant, outcome: Outcome) -> tuple[TermOrigin, ...]:
    """Origin of each term with its share of a request's working time (waiting left out), largest first."""
    shares = _shares(outcome)
    terms = variant.terms
    table: dict[str, object] = {
        "dense": terms.dense,
        "attention": terms.attn_decode,
        "head": terms.head,
        "lora": terms.lora,
        "draft": None if variant.drafting is None else variant.drafting.term,
        "all_reduce": terms.all_reduce,
        "host": variant.profile.host,
        "load": variant.profile.load("disk_to_cpu"),
        "frontend": variant.profile.frontend,
    }
    rows = []
    for name, term in table.items():
        if term is None or (name in {"lora", "load"} and variant.way not in ("multi-lora", "hybrid")):
            continue
        rows.append(
            TermOrigin(
                term=name,
                origin=term.origin,  # type: ignore[attr-defined]  # every value is a Provenance
                source=term.source,  # type: ignore[attr-defined]
                interval=term.interval,  # type: ignore[attr-defined]
                share_of_busy_time=shares.get(name, 0.0),
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.share_of_busy_time))


def origin_of(terms: tuple[TermOrigin, ...]) -> Origin:
    """Worst origin among the terms that matter."""
    mattering = [row.origin for row in terms if row.share_of_busy_time >= _SMALL]
    return worst(*mattering) if mattering else Origin.MEASURED


def _shares(outcome: Outcome) -> dict[str, float]:
    seconds = {
        name: outcome.ttft_causes_s.get(cause, 0.0) + outcome.decode_causes_s.get(cause, 0.0)
        for cause, name in _OF_CAUSE.items()
    }
    total = math.fsum(seconds.values())
    return {name: value / total for name, value in seconds.items()} if total > 0 else {}
