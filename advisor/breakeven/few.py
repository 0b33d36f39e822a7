"""The scenario with another number of adapters: the same requests, spread over more or fewer of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.search.question import Question
from advisor.spec.adapterset import AdapterSet
from advisor.trace.assign import assign
from advisor.trace.trace import BASE, Trace

_FEWEST_FOR_A_LAW = 3


def weights_of(question: Question, count: int) -> tuple[float, ...]:
    """Popularity of `count` adapters, most asked for first, summing to 1.

    The scenario's own, as counted in its traffic; beyond its adapters it goes on as a Zipf law fitted to
    them (least squares of log share over log place).
    """
    adapter = question.whole.adapter
    counts = np.sort(np.bincount(adapter[adapter >= 0], minlength=len(question.adapters)))[::-1]
    own = counts[counts > 0].astype(float)
    if not len(own):
        own = np.ones(1)
    if count > len(own):
        place = np.arange(1, len(own) + 1, dtype=float)
        slope = float(np.polyfit(np.log(place), np.log(own), 1)[0]) if len(own) >= _FEWEST_FOR_A_LAW else 0.0
        more = own[-1] * (np.arange(len(own) + 1, count + 1) / len(own)) ** min(slope, 0.0)
        own = np.concatenate((own, more))
    kept = own[:count]
    return tuple((kept / kept.sum()).tolist())


def base_share_of(trace: Trace) -> float:
    """Share of requests to the plain base model."""
    return float(np.mean(trace.adapter == BASE)) if len(trace) else 0.0


def with_adapters(question: Question, count: int) -> Question:
    """The question asked of `count` adapters; ranks are repeated in their order."""
    names = tuple(f"adapter-{place}" for place in range(1, count + 1))
    ranks = question.adapters.ranks
    weights = weights_of(question, count)
    adapters = AdapterSet(
        names,
        tuple(ranks[place % len(ranks)] for place in range(count)),
        weights,
        question.adapters.base_share,
        question.adapters.target_modules,
        question.adapters.traits,
    )
    base_share = base_share_of(question.whole)
    whole = assign(question.whole, names, weights, base_share=base_share, seed=question.scenario.seed)
    return replace(question, adapters=adapters, trial=whole, whole=whole)
