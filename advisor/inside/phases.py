"""The requests of one replica in a stretch of time, phase by phase; a bounded number, the slowest kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from advisor.inside.run import Inside
from advisor.sim.result import CAUSES, Ints

MOST: Final = 60
_SLOWEST: Final = 15
Phase = Literal["waiting", "adapter load", "prompt", "decoding"]
PHASES: Final[tuple[Phase, ...]] = ("waiting", "adapter load", "prompt", "decoding")


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase of one request, on the trace's clock. The seconds of a load stand at the end of its wait."""

    request: int
    adapter: str
    phase: Phase
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Phases:
    """Bars of the requests shown, and how many there are in the stretch."""

    bars: tuple[Bar, ...]
    shown: int
    requests: int


def phases_of(
    inside: Inside, replica: int = 0, from_s: float = 0.0, to_s: float | None = None, most: int = MOST
) -> Phases:
    """The requests that were under way in a stretch, by arrival.

    Of too many: those that waited longest for their first token, and others evenly spread.

    Args:
        inside: the simulated pool.
        replica: the one that served them (the last that did, where one was moved).
        from_s: where the stretch begins.
        to_s: where it ends; None: with the last step.
        most: how many are shown.
    """
    result, end_s = inside.result, inside.result.end_s if to_s is None else to_s
    last_s = np.where(np.isfinite(result.last_token_s), result.last_token_s, result.end_s)
    mine = np.flatnonzero((result.replica == replica) & (result.arrival_s < end_s) & (last_s > from_s))
    shown = _chosen(inside, mine, most)
    bars = [bar for request in shown for bar in _bars(inside, int(request))]
    return Phases(tuple(bars), len(shown), len(mine))


def _chosen(inside: Inside, mine: Ints, most: int) -> Ints:
    if len(mine) <= most:
        return mine
    ttft_s = np.nan_to_num(inside.result.ttft_s[mine], nan=np.inf)
    slowest = mine[np.argsort(-ttft_s, kind="stable")[: min(_SLOWEST, most)]]
    others = np.setdiff1d(mine, slowest)
    spread = np.linspace(0, len(others) - 1, most - len(slowest)).astype(np.int64)
    return np.union1d(slowest, others[np.unique(spread)])


def _bars(inside: Inside, request: int) -> list[Bar]:
    result = inside.result
    arrival, first, last = (
        float(column[request]) for column in (result.arrival_s, result.first_token_s, result.last_token_s)
    )
    scheduled = float(result.scheduled_s[request])
    end = result.end_s
    started = scheduled if np.isfinite(scheduled) else end
    told = result.ttft_causes_s[request, CAUSES.index("load")]
    load_s = min(float(told), started - arrival) if np.isfinite(told) else 0.0
    answered = first if np.isfinite(first) else end
    places: tuple[tuple[Phase, float, float], ...] = (
        ("waiting", arrival, started - load_s),
        ("adapter load", started - load_s, started),
        ("prompt", started, answered),
        ("decoding", answered, last if np.isfinite(last) else end),
    )
    name = inside.adapter_of(request)
    return [Bar(request, name, phase, low, high) for phase, low, high in places if high > low]
