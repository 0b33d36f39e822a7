"""Dedicated against tokens over load: the load from which on a multi-LoRA deployment is never the dearer.

Tokens cost in proportion to the load, replicas in steps: n of them cost n u an hour and carry up to S(n), so
that beside tokens of c a request the deployment is dearer on step n up to the load n u / c, as long as that
lies on the step. The crossing is the end of the last such stretch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.breakeven.answer import Crossing, TokensCurve
from advisor.breakeven.capacity import SIZES
from advisor.breakeven.crossing import finite
from advisor.breakeven.replicas import steps_of
from advisor.robustness.interval import interval
from advisor.search.question import Question, facts_of
from advisor.search.tokens import prices_by_token, request_usd
from advisor.spec.quantities import significant

_SECONDS_PER_HOUR = 3600.0


def dedicated_pays_from(
    usd_per_request: float, usd_per_replica_hour: float, carried_rps: Sequence[float]
) -> float | None:
    """Load in requests/s from which on replicas are never dearer than tokens; None: there is none.

    Args:
        usd_per_request: by the token.
        usd_per_replica_hour: of one replica.
        carried_rps: what pools of `SIZES` carry; larger ones in proportion to the largest.
    """
    each = carried_rps[-1] / SIZES[-1]
    if each <= 0 or usd_per_request <= 0:
        return None
    worth_rps = (
        usd_per_replica_hour / _SECONDS_PER_HOUR / usd_per_request
    )  # load at which one pays for itself
    if worth_rps >= each * (1 - 1e-9):
        return None
    steps = [float(step) for step in steps_of(carried_rps)]
    most = max(len(steps), math.ceil(1 / (1 - worth_rps / each))) + 1  # from here on a step pays at its start
    steps += [count * each for count in range(len(steps) + 1, most + 1)]
    starts = [0.0, *steps[:-1]]
    ends = [
        min(count * worth_rps, end)
        for count, (start, end) in enumerate(zip(starts, steps, strict=True), 1)
        if start < end and count * worth_rps > start
    ]
    return max(ends)


def token_curves(
    question: Question, usd_per_replica_hour: float | None, carried: Sequence[Sequence[float]]
) -> tuple[TokensCurve, ...]:
    """One for each price known; the first of `carried` is the estimate, the rest are draws."""
    if usd_per_replica_hour is None:
        return ()
    facts = facts_of(question)
    found = []
    for price in prices_by_token(question):
        each = request_usd(facts.prompt_tokens_mean, facts.output_tokens_mean, price)
        at, *every = (dedicated_pays_from(each, usd_per_replica_hour, one) for one in carried)
        found.append(
            TokensCurve(
                provider=price.provider, usd_per_request=each, crossing_rps=_crossing(at, every or [at])
            )
        )
    return tuple(found)


def _crossing(at: float | None, every: Sequence[float | None]) -> Crossing:
    low, high = interval([math.inf if one is None else one for one in every])
    words = (
        "at no load: tokens cost less than full replicas"
        if at is None
        else f"from {significant(at)} req/s on"
    )
    return Crossing(value=at, low=finite(low), high=finite(high), words=words)
