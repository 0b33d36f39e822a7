"""C8: one tenant's requests alone on merged weights, and beside other tenants' on a shared replica."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from advisor.trace.trace import Trace
from calibration.claims.bench import Bench, Bools, Runs, Side, compare, to_base, tpot_ms, ttft_p90_ms
from calibration.claims.result import Outcome, Row
from calibration.claims.verdict import above, outcome

_OWN: Final = 0.1  # of the shared replica's capacity
_OTHERS: Final = (0.0, 0.3, 0.6, 0.85)


def tenants(bench: Bench) -> Outcome:
    """The same requests of one tenant each time; others fill the replica more and more."""
    adapters = bench.slots
    shared, dedicated = bench.unmerged(adapters), bench.merged()
    capacity = bench.capacity_rps(shared, adapters)
    share_s = max(2.0, bench.replay_s(1 + len(_OTHERS)))
    own = bench.poisson(_OWN * capacity, 1, share_s)
    sides = {"dedicated": Side(dedicated, to_base(own))}
    for load in _OTHERS:
        other = bench.poisson(load * capacity, adapters - 1, share_s, seed=1) if load else None
        trace, mine = _beside(own, other, tuple(bench.setup.adapters)[:adapters])
        sides[_name(load)] = Side(shared, trace, mine=mine)
    found = bench.runs(sides)
    rows: list[Row] = []
    for load in _OTHERS:
        pair: tuple[tuple[str, Runs], tuple[str, Runs]]
        pair = ("dedicated", found["dedicated"]), ("shared", found[_name(load)])
        for figure in (("TTFT p90", ttft_p90_ms), ("TPOT", tpot_ms)):
            rows += compare(_name(load), figure, *pair, x=100 * load)
    judged = [one for one in rows if one.judged]
    tpot = [one for one in judged if one.figure == "TPOT ratio"]
    ttft = [one for one in judged if one.figure == "TTFT p90 ratio"]
    quiet = [one for one in judged if one.low <= 1.0]
    said = ", ".join(f"{one.figure} {one.measured:.2f} with {one.setting}" for one in quiet)
    return outcome(
        rows,
        lambda _row: above(1.0),
        why=(
            f"Own requests' TPOT {tpot[0].measured:.2f} times the dedicated replica's with others silent, "
            f"{tpot[-1].measured:.2f} with {tpot[-1].setting}; TTFT p90 {ttft[0].measured:.2f} and "
            f"{ttft[-1].measured:.2f}."
        ),
        where_it_stops=(
            f"Within noise: {said}. " if quiet else f"Not even with others silent ({tpot[0].measured:.2f}). "
        )
        + "Here one replica takes all; a provider adds replicas, and its network and queue come on top.",
        x_title="other tenants' load, % of the replica's capacity",
    )


def _name(load: float) -> str:
    return f"others at {load:.0%} load" if load else "others silent"


def _beside(own: Trace, other: Trace | None, names: tuple[str, ...]) -> tuple[Trace, Bools]:
    """One trace of both, and which of its requests are the tenant's own (adapter 0)."""
    if other is None:
        return replace(own, adapters=names), np.ones(len(own), dtype=np.bool_)
    arrival = np.concatenate([own.arrival_s, other.arrival_s])
    order = np.argsort(arrival, kind="stable")

    def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.concatenate([left, right])[order]

    trace = replace(
        own,
        arrival_s=arrival[order],
        prompt_tokens=joined(own.prompt_tokens, other.prompt_tokens),
        output_tokens=joined(own.output_tokens, other.output_tokens),
        adapter=joined(own.adapter, other.adapter + 1),
        adapters=names,
    )
    return trace, np.asarray(order < len(own))
