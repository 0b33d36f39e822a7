"""Our requests on replicas that other tenants use too, with adapters that are unloaded when idle."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from advisor.deployment import Variant
from advisor.search.estimate import Demand, steady_state
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.serverless import Serverless
from advisor.trace.trace import BASE, Floats, Ints, Trace

ADAPTERS_SHARE: Final = 0.5
"""Of the others' requests, those to adapters of theirs; the rest is to the base."""
_STREAM: Final = 7919  # tells the others' draws from all others of one seed
_ROUNDS: Final = 40


@dataclass(frozen=True, slots=True)
class Shared:
    """What happened to our requests."""

    result: SimResult  # our requests alone, at their own arrivals
    others_rps: float
    cold_starts: int
    cold_share: float


def with_others(fleet: FleetSetup, trace: Trace, wish: Serverless, others_rps: float, seed: int) -> Shared:
    """Simulate our trace together with the others' requests.

    Args:
        fleet: the stand-in's replicas, with room for our adapters, then the others'.
        trace: our requests.
        wish: the others' adapters, unloading and cold start.
        others_rps: the others' requests a second over all replicas.
        seed: of the others' requests: Poisson arrivals, lengths drawn from ours.
    """
    held_s, colds = cold_waits(trace, wish.unload_after, wish.cold_start)
    ours = trace.arrival_s + held_s
    adapter, prompt, output, arrival = _others(trace, wish, others_rps, seed)
    order = np.argsort(np.concatenate((ours, arrival)), kind="stable")
    together = Trace(
        arrival_s=np.concatenate((ours, arrival))[order],
        prompt_tokens=np.concatenate((trace.prompt_tokens, prompt))[order],
        output_tokens=np.concatenate((trace.output_tokens, output))[order],
        adapter=np.concatenate((trace.adapter, adapter))[order],
        adapters=(*trace.adapters, *(f"other-{i}" for i in range(wish.other_adapters))),
        name=trace.name,
    )
    result = simulate_fleet(fleet, together, seed=seed)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    mine = _rows(result, place[: len(trace)])
    causes = mine.ttft_causes_s.copy()
    causes[:, CAUSES.index("load")] += held_s
    return Shared(
        replace(mine, arrival_s=trace.arrival_s, ttft_causes_s=causes),
        others_rps,
        colds,
        float((held_s > 0).mean()) if len(trace) else 0.0,
    )


def cold_waits(trace: Trace, unload_after_s: float, cold_start_s: float) -> tuple[Floats, int]:
    """Seconds that each request is held for its adapter's cold start, and how many there were.

    An adapter is cold at first, and again when nobody asked for it for so long. The first request that finds
    it so begins the load; those that come before its end wait for the same one.
    """
    held_s = np.zeros(len(trace))
    colds = 0
    for adapter in range(len(trace.adapters)):
        ready_s, last_s = -np.inf, -np.inf
        for row in np.flatnonzero(trace.adapter == adapter).tolist():
            time_s = float(trace.arrival_s[row])
            if time_s - max(last_s, ready_s) > unload_after_s:
                ready_s = time_s + cold_start_s
                colds += 1
            held_s[row] = max(ready_s - time_s, 0.0)
            last_s = time_s
    return held_s, colds


def capacity_rps(
    variant: Variant, setup: ReplicaSetup, limits: EngineLimits, trace: Trace, adapters: int
) -> float:
    """Highest rate of requests like these that one replica has a steady state for, by algebra.

    Source: `estimate.py`. Half of the requests go to `adapters`, evenly.
    """
    shares = np.full(adapters, ADAPTERS_SHARE / max(adapters, 1))
    prompt, output = float(trace.prompt_tokens.mean()), float(trace.output_tokens.mean())
    kv_tokens = variant.memory(limits).kv_tokens

    def stable(rate_rps: float) -> bool:
        return steady_state(setup.clock, limits, kv_tokens, Demand(rate_rps, prompt, output, shares)).stable

    low, high = 0.0, 1e-3
    while stable(high) and high < 1e6:
        low, high = high, 2 * high
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low


def _others(trace: Trace, wish: Serverless, rate_rps: float, seed: int) -> tuple[Ints, Ints, Ints, Floats]:
    """Adapter, prompt, output and arrival of the others' requests, over the time of ours."""
    rng = np.random.default_rng((seed, _STREAM))
    end_s = float(trace.arrival_s[-1]) if len(trace) else 0.0
    count = int(rng.poisson(rate_rps * end_s))
    arrival_s = np.sort(rng.uniform(0.0, end_s, count))
    like = rng.integers(0, max(len(trace), 1), count)
    adapter = np.full(count, BASE, dtype=np.int64)
    if wish.other_adapters:
        theirs = rng.random(count) < ADAPTERS_SHARE
        adapter[theirs] = len(trace.adapters) + rng.integers(0, wish.other_adapters, int(theirs.sum()))
    return adapter, trace.prompt_tokens[like], trace.output_tokens[like], arrival_s


def _rows(result: SimResult, rows: Ints) -> SimResult:
    """Some requests of a run; its totals stay those of the whole."""
    count = len(result.arrival_s)
    columns = {
        one.name: getattr(result, one.name)[rows]
        for one in fields(SimResult)
        if one.name not in ("itl_s", "itl_weight")
        and isinstance(getattr(result, one.name), np.ndarray)
        and len(getattr(result, one.name)) == count
    }
    return replace(result, **columns)
