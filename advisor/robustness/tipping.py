"""The value of each input, all others as they are, at which the choice turns.

Looked for out to the 1 in 100 on either side, by halving; it is assumed that the choice turns once. The
chance that an input lies beyond its tipping value is what it can do to the decision by itself: an input that
cannot turn the choice has none, however wide its interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from advisor.robustness.decide import Judge, World
from advisor.robustness.inputs import TRAFFIC, Bounds, Doubt, Input, chance_beyond, doubts_of, factor
from advisor.robustness.rivals import Rival
from advisor.search.origins import terms_of
from advisor.spec.spec import Origin
from advisor.trace.trace import Trace

FAR = NormalDist().inv_cdf(0.99)
_ROUNDS = 4
_SMALL = 0.004
"""An end of an interval that moves the busy time of no rival by this share is not tried."""
_SHARE_OF = {
    "attn_decode": "attention",
    "attn_mixed": "attention",
    "attn_prefill": "attention",
    "disk_to_cpu": "load",
    "cpu_to_slot": "load",
}


@dataclass(frozen=True, slots=True)
class Turning:
    """Where an input turns the choice, on one side."""

    factor: float
    option: str | None
    chance: float


@dataclass(frozen=True, slots=True)
class Tipping:
    """An input and where it turns the choice, on both sides."""

    input: Input
    interval: Bounds
    origin: Origin | None
    below: Turning | None
    above: Turning | None

    @property
    def chance(self) -> float:
        """That the choice turns by this input alone."""
        return math.fsum(side.chance for side in (self.below, self.above) if side is not None)


@dataclass(frozen=True, slots=True)
class Subject:
    """An input to try: its interval as the first rival that has it knows it, and whether it can matter."""

    input: Input
    interval: Bounds
    origin: Origin | None
    matters: bool


def subjects_of(rivals: Sequence[Rival], load_interval: Bounds) -> list[Subject]:
    """Every input of the rivals, and the load."""
    found: dict[Input, list[tuple[Doubt, float]]] = {}
    for rival in rivals:
        shares = {row.term: row.share_of_busy_time for row in terms_of(rival.plan.variant, rival.outcome)}
        for term, doubt in doubts_of(rival.plan.variant).items():
            found.setdefault(doubt.input, []).append((doubt, _weight(term, doubt, shares)))
    subjects = [
        Subject(one, rows[0][0].interval, rows[0][0].origin, max(weight for _, weight in rows) >= _SMALL)
        for one, rows in sorted(found.items())
    ]
    if load_interval != (1.0, 1.0):
        subjects.append(Subject(Input(TRAFFIC), load_interval, None, True))
    return subjects


def _weight(term: str, doubt: Doubt, shares: dict[str, float]) -> float:
    """Share of the busy time by which an end of the interval moves a rival; 1 for what is not a time."""
    if term == "memory" or term.startswith("acceptance"):
        return 1.0
    name = term.partition(":")[0]
    low, high = doubt.interval
    return max(1.0 - low, high - 1.0) * shares.get(_SHARE_OF.get(name, name), 0.0)


def tipping(judge: Judge, trace: Trace, subject: Subject) -> Tipping:
    """Look on both sides of one input."""
    below, above = (
        _turning(judge, trace, subject, sign) if subject.matters else None for sign in (-1.0, 1.0)
    )
    return Tipping(subject.input, subject.interval, subject.origin, below, above)


def _turning(judge: Judge, trace: Trace, subject: Subject, sign: float) -> Turning | None:
    stands = judge.rivals[0].key

    def best_at(z: float) -> str | None:
        return judge.stands(World(trace, {subject.input: z})).best

    option = best_at(sign * FAR)
    if option == stands:
        return None
    near, far = 0.0, FAR
    for _ in range(_ROUNDS):
        middle = (near + far) / 2
        there = best_at(sign * middle)
        if there == stands:
            near = middle
        else:
            far, option = middle, there
    z = sign * (near + far) / 2
    return Turning(factor(z, subject.interval), option, chance_beyond(z))
