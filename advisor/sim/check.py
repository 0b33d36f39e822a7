"""What cannot be simulated is refused before the first event, naming the request and the bound."""

from __future__ import annotations

import math

import numpy as np

from advisor.errors import InputError
from advisor.sim.setup import FleetSetup, ReplicaSetup
from advisor.trace.trace import Trace


def check_fleet(fleet: FleetSetup, trace: Trace) -> None:
    """Raise InputError with all problems at once.

    With these bounds every run ends: the oldest running request (fcfs) or the most urgent one always
    finds the KV blocks it needs once everything else has been preempted.
    """
    problems = [*_fleet_problems(fleet), *_budget_problems(fleet.replica), *_kv_problems(fleet.replica, trace)]
    problems += _adapter_problems(fleet.replica, trace)
    if problems:
        raise InputError(problems)


def _draft_length(replica: ReplicaSetup) -> int:
    return replica.speculation.draft_length if replica.speculation else 0


def _fleet_problems(fleet: FleetSetup) -> list[str]:
    problems = []
    if fleet.replicas < 1:
        problems.append(f"fleet: replicas is {fleet.replicas}; allowed: at least 1.")
    if fleet.start_s and len(fleet.start_s) != fleet.replicas:
        problems.append(f"fleet: start_s has {len(fleet.start_s)} entries; allowed: none, or one for each of the "
                        f"{fleet.replicas} replicas.")
    if any(not 0 <= start < math.inf for start in fleet.start_s):
        problems.append(f"fleet: start_s is {fleet.start_s}; allowed: finite seconds, not negative.")
    for failure in fleet.failures:
        if not 0 <= failure.replica < fleet.replicas:
            problems.append(f"fleet: failures: replica is {failure.replica}; allowed: 0 to {fleet.replicas - 1}.")
        if not (0 <= failure.at_s < math.inf and failure.recover_after_s >= 0):
            problems.append(f"fleet: failures: at_s is {failure.at_s}, recover_after_s is {failure.recover_after_s}; "
                            "allowed: at_s finite, neither negative.")
    if fleet.horizon_s is not None and not 0 < fleet.horizon_s < math.inf:
        problems.append(f"fleet: horizon_s is {fleet.horizon_s}; allowed: more than 0, or none.")
    return problems


def _budget_problems(replica: ReplicaSetup) -> list[str]:
    width = _draft_length(replica) + 1
    budget = replica.limits.max_num_batched_tokens
    if budget >= width:
        return []
    return [f"engine: max_num_batched_tokens is {budget}; allowed: at least {width}, "
            "one token and its drafts. Raise it or shorten the drafts."]


def _kv_problems(replica: ReplicaSetup, trace: Trace) -> list[str]:
    if not len(trace):
        return []
    drafts = np.where(trace.output_tokens > 1, _draft_length(replica), 0)
    tokens = trace.prompt_tokens + trace.output_tokens - 1 + drafts
    blocks = -(-tokens // replica.limits.kv_block_tokens)
    worst = int(np.argmax(blocks))
    if blocks[worst] <= replica.kv_blocks:
        return []
    fewer = int(np.count_nonzero(blocks > replica.kv_blocks))
    return [f"{trace.name}: request {worst}: prompt_tokens + output_tokens is "
            f"{int(trace.prompt_tokens[worst] + trace.output_tokens[worst])}, {int(blocks[worst])} KV blocks; "
            f"allowed: at most the {replica.kv_blocks} blocks of {replica.limits.kv_block_tokens} tokens that the "
            f"device holds ({fewer} requests are longer). Take a larger device or shorter requests."]


def _adapter_problems(replica: ReplicaSetup, trace: Trace) -> list[str]:
    named = np.flatnonzero(trace.adapter >= 0)
    if not named.size:
        return []
    first = int(named[0])
    if replica.limits.max_loras == 0:
        return [f"{trace.name}: request {first}: adapter is {trace.adapters[int(trace.adapter[first])]!r}; allowed: "
                "none, since max_loras is 0. Set max_loras, or serve the adapter merged."]
    known = min(len(replica.loads.disk_to_cpu_s), len(replica.loads.cpu_to_slot_s))
    if int(trace.adapter.max()) >= known:
        return [f"engine: loads: has {known} adapters; allowed: one entry a hop for each of the trace's "
                f"{len(trace.adapters)} adapters."]
    return []
