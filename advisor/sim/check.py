"""What cannot be simulated is refused before the first event, naming the request and the bound."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from advisor.errors import InputError
from advisor.sim.setup import FleetSetup, ReplicaSetup
from advisor.trace.trace import Trace


def check_fleet(fleet: FleetSetup, trace: Trace) -> None:
    """Raise InputError with all problems at once.

    With these bounds every run ends: the oldest running request (fcfs) or the most urgent one always
    finds the KV blocks it needs once everything else has been preempted.
    """
    problems = [
        *_fleet_problems(fleet),
        *_scaling_problems(fleet),
        *_schedule_problems(fleet.replica),
        *_budget_problems(fleet.replica),
        *_kv_problems(fleet.replica, trace),
    ]
    problems += _adapter_problems(fleet.replica, trace)
    if problems:
        raise InputError(problems)


def _draft_length(replica: ReplicaSetup) -> int:
    return replica.speculation.draft_length if replica.speculation else 0


def _fleet_problems(fleet: FleetSetup) -> list[str]:
    problems = []
    replicas, starts = fleet.replicas, fleet.start_s
    if replicas < 1:
        problems.append(f"fleet: replicas is {replicas}; allowed: at least 1.")
    if starts and len(starts) != replicas:
        rule = f"none, or one for each of the {replicas} replicas."
        problems.append(f"fleet: start_s has {len(starts)} entries; allowed: {rule}")
    if any(not 0 <= start < math.inf for start in starts):
        problems.append(f"fleet: start_s is {starts}; allowed: finite seconds, not negative.")
    for number, failure in enumerate(fleet.failures):
        where = f"fleet: failures[{number}]"
        if not 0 <= failure.replica < replicas:
            problems.append(f"{where}.replica is {failure.replica}; allowed: 0 to {replicas - 1}.")
        if not 0 <= failure.at_s < math.inf:
            problems.append(f"{where}.at_s is {failure.at_s}; allowed: finite seconds, not negative.")
        if not failure.recover_after_s >= 0:
            problems.append(
                f"{where}.recover_after_s is {failure.recover_after_s}; allowed: at least 0, or inf."
            )
    if fleet.max_outstanding is not None and fleet.max_outstanding < 1:
        problems.append(f"fleet: max_outstanding is {fleet.max_outstanding}; allowed: at least 1, or none.")
    if fleet.horizon_s is not None and not 0 < fleet.horizon_s < math.inf:
        problems.append(f"fleet: horizon_s is {fleet.horizon_s}; allowed: more than 0, or none.")
    return problems


def _scaling_problems(fleet: FleetSetup) -> list[str]:
    scaling, most = fleet.scaling, fleet.replicas
    if scaling is None:
        return []
    problems = []
    for name, fits, rule in (
        ("min_replicas", 0 <= scaling.min_replicas <= most, f"0 to the {most} replicas of the fleet"),
        ("target", 0 < scaling.target < math.inf, "more than 0"),
        ("start_up_s", 0 <= scaling.start_up_s < math.inf, "finite seconds, not negative"),
        ("interval_s", 0 < scaling.interval_s < math.inf, "more than 0"),
        ("window_s", 0 <= scaling.window_s < math.inf, "finite seconds, not negative"),
        ("tolerance", 0 <= scaling.tolerance < 1, "at least 0 and below 1"),
    ):
        if not fits:
            problems.append(f"fleet: scaling.{name} is {getattr(scaling, name)}; allowed: {rule}.")
    if fleet.failures or fleet.start_s:
        problems.append("fleet: scaling comes with failures or start_s; allowed: one of them. Leave one out.")
    return problems


def _schedule_problems(replica: ReplicaSetup) -> list[str]:
    spec = replica.speculation
    if spec is None or not spec.schedule:
        return []
    starts, lengths = zip(*spec.schedule, strict=True)
    if starts[0] != 1 or any(b <= a for a, b in pairwise(starts)):
        return [f"engine: draft lengths by batch begin at {starts}; allowed: rising, from 1."]
    if any(not 0 <= length <= spec.draft_length for length in lengths):
        return [f"engine: draft lengths by batch are {lengths}; allowed: 0 to {spec.draft_length}."]
    if replica.limits.batching == "prompts_first":
        rule = "one length, as engines that compute prompts first have it. Leave the schedule out."
        return [f"engine: draft lengths by batch come with batching prompts_first; allowed: {rule}"]
    return []


def _budget_problems(replica: ReplicaSetup) -> list[str]:
    width = _draft_length(replica) + 1
    budget = replica.limits.max_num_batched_tokens
    if budget >= width:
        return []
    rule = f"at least {width}, one token and its drafts. Raise it or shorten the drafts."
    return [f"engine: max_num_batched_tokens is {budget}; allowed: {rule}"]


def _kv_problems(replica: ReplicaSetup, trace: Trace) -> list[str]:
    if not len(trace):
        return []
    drafts = np.where(trace.output_tokens > 1, _draft_length(replica), 0)
    tokens = trace.prompt_tokens + trace.output_tokens - 1 + drafts
    blocks = -(-tokens // replica.limits.kv_block_tokens)
    worst = int(np.argmax(blocks))
    if blocks[worst] <= replica.kv_blocks:
        return []
    longer = int(np.count_nonzero(blocks > replica.kv_blocks))
    length = int(trace.prompt_tokens[worst] + trace.output_tokens[worst])
    rule = (
        f"at most the {replica.kv_blocks} blocks of {replica.limits.kv_block_tokens} tokens that it holds "
        f"({longer} requests need more). Take a larger device or shorter requests."
    )
    value = f"prompt_tokens + output_tokens is {length}, {int(blocks[worst])} KV blocks"
    return [f"{trace.name}: request {worst}: {value}; allowed: {rule}"]


def _adapter_problems(replica: ReplicaSetup, trace: Trace) -> list[str]:
    named = np.flatnonzero(trace.adapter >= 0)
    if not named.size:
        return []
    first = int(named[0])
    if replica.limits.max_loras == 0:
        name = trace.adapters[int(trace.adapter[first])]
        rule = "none, since max_loras is 0. Set max_loras, or serve the adapter merged."
        return [f"{trace.name}: request {first}: adapter is {name!r}; allowed: {rule}"]
    known = min(len(replica.loads.disk_to_cpu_s), len(replica.loads.cpu_to_slot_s))
    if int(trace.adapter.max()) >= known:
        rule = f"one entry a hop for each of the trace's {len(trace.adapters)} adapters."
        return [f"engine: loads has {known} adapters; allowed: {rule}"]
    return []
