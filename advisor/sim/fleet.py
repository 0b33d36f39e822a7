"""Replicas behind one router: arrivals, late starts, scaling, failures, horizon. The entry point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import simpy

from advisor.sim.check import check_fleet
from advisor.sim.dispatch import Dispatch
from advisor.sim.drafting import DraftingReplica
from advisor.sim.draws import Draws
from advisor.sim.drive import Drive
from advisor.sim.outcome import FRONTEND, QUEUE, START_UP, Outcome
from advisor.sim.plain import PlainReplica, PlainRun
from advisor.sim.prefixes import prefix_tree
from advisor.sim.promptsfirst import PromptsFirstDrafting, PromptsFirstReplica
from advisor.sim.result import SimResult
from advisor.sim.rundata import RunData
from advisor.sim.scaling import closed
from advisor.sim.setup import FleetSetup
from advisor.sim.skipping import SkippingReplica
from advisor.trace.trace import Trace

Engine = Literal["skipping", "plain"]


def simulate_fleet(
    fleet: FleetSetup, trace: Trace, *, seed: int = 0, engine: Engine = "skipping", series: bool = False
) -> SimResult:
    """Simulate a trace on a fleet.

    Args:
        fleet: replicas, router, scaling, failures, horizon.
        trace: requests in time.
        seed: of the tokens that verify steps yield; nothing else is drawn.
        engine: "plain" is the step-by-step specification, "skipping" the fast default; they agree to 1e-9.
        series: also return the state of each replica after each scheduling event.

    Raises:
        InputError: a request can never run (KV blocks, adapter, token budget), or the setup is inconsistent.
    """
    check_fleet(fleet, trace)
    env = simpy.Environment()
    speculation = fleet.replica.speculation
    draws = Draws(speculation, seed) if speculation and speculation.draft_length else None
    limits = fleet.replica.limits
    tree = prefix_tree(trace, limits.kv_block_tokens) if limits.prefix_caching else None
    run: PlainRun | RunData
    replicas: Sequence[PlainReplica | SkippingReplica]
    dispatch: Dispatch
    if engine == "plain":
        run = plain = PlainRun(trace, draws, wants_series=series)
        replicas = [PlainReplica(env, index, fleet.replica, plain, tree) for index in range(fleet.replicas)]
        dispatch = Dispatch(env, fleet, trace, replicas)
    else:
        run = data = RunData(trace, fleet.replica, draws, wants_series=series)
        kind = _REPLICAS[limits.batching == "prompts_first", draws is not None]
        replicas = engines = [kind(env, index, fleet.replica, data, tree) for index in range(fleet.replicas)]
        dispatch = Drive(env, fleet, trace, engines)
    if _is_foreseen(fleet):
        dispatch.foresee(run.outcome)
    else:
        dispatch.begin()
    env.run(until=fleet.horizon_s)
    for replica in replicas:
        replica.stop()
    outcome = run.finish_run()
    if series:
        outcome.series = [replica.series.columns() for replica in replicas]
    return _result(fleet, trace, outcome, dispatch)


_REPLICAS: Final[dict[tuple[bool, bool], type[SkippingReplica]]] = {
    (False, False): SkippingReplica,
    (False, True): DraftingReplica,
    (True, False): PromptsFirstReplica,
    (True, True): PromptsFirstDrafting,
}
"""By (prompts first, with drafts)."""


def _is_foreseen(fleet: FleetSetup) -> bool:
    """Whether each request's replica is known beforehand, so that arrivals need no events of their own."""
    static = fleet.replicas == 1 or fleet.router == "round-robin"
    plain = fleet.max_outstanding is None and not fleet.failures and fleet.scaling is None
    return static and plain and not any(fleet.start_s)


def _result(fleet: FleetSetup, trace: Trace, outcome: Outcome, dispatch: Dispatch) -> SimResult:
    """Add what lies outside the engine loop, frontend and router, and close the columns."""
    setup = fleet.replica
    for request, seconds in dispatch.start_up_s.items():
        outcome.ttft_causes_s[request, QUEUE] -= seconds
        outcome.ttft_causes_s[request, START_UP] += seconds
    frontend_s = setup.frontend_s + setup.frontend_per_prompt_token_s * trace.prompt_tokens
    outcome.ttft_causes_s[:, FRONTEND] += frontend_s
    outcome.ttft_causes_s[np.isnan(outcome.first_token_s)] = np.nan
    outcome.decode_causes_s[np.isnan(outcome.last_token_s)] = np.nan
    ends = outcome.end_s if fleet.horizon_s is None else fleet.horizon_s
    return SimResult(
        arrival_s=trace.arrival_s,
        scheduled_s=outcome.scheduled_s,
        first_token_s=outcome.first_token_s + frontend_s,
        last_token_s=outcome.last_token_s + frontend_s,
        prompt_tokens=trace.prompt_tokens,
        output_tokens=trace.output_tokens,
        cached_tokens=outcome.cached_tokens,
        adapter=trace.adapter,
        replica=outcome.replica,
        preemptions=outcome.preemptions,
        verify_steps=outcome.verify_steps,
        ttft_causes_s=outcome.ttft_causes_s,
        decode_causes_s=outcome.decode_causes_s,
        end_s=ends,
        steps=outcome.steps,
        step_time_s=outcome.step_time_s,
        loads_from_disk=outcome.loads_from_disk,
        loads_to_slot=outcome.loads_to_slot,
        load_s=outcome.load_s,
        itl_s=outcome.itl_s,
        itl_weight=outcome.itl_weight,
        series=tuple(outcome.series),
        emitted_tokens=outcome.emitted_tokens,
        notes=dispatch.notes(),
        lives=closed(dispatch.lives(), outcome.last_token_s.tolist(), ends) if fleet.scaling else (),
    )
