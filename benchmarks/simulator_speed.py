"""Simulated requests and tokens a second, and bytes a request, for features switched on one by one.

    python -m benchmarks.simulator_speed [--requests 100000] [--plain-requests 2000]

The step time is an affine stand-in with the magnitudes of Llama-3.1-8B on an H100 (design.md section 3),
so that this measures the simulator alone; seconds are those of this process's CPU, so that
neighbours disturb less. Lengths are log-normal with the means of Azure's conversation
trace (about 1000 prompt and 210 answer tokens); the load is 80 % of the measured capacity.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import numpy as np

from advisor.sim.fleet import Engine, simulate_fleet
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup, SpecSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.steptime.batch import Batch, DecodeLine, StepParts
from advisor.trace.trace import Prefixes, Trace

ADAPTERS = 1000
PROMPT_TOKENS, OUTPUT_TOKENS = 1000.0, 210.0


class H100Like:
    """Affine step time, seconds."""

    def parts(self, batch: Batch) -> StepParts:
        """As `advisor.steptime` would answer."""
        decodes, context, chunks, outputs, draft, adapters = batch
        tokens = decodes * (draft + 1)
        pairs = 0.0
        for new, before in chunks:
            tokens += new
            pairs += new * (before + 0.5 * new)
        lora = 0.6e-3 + 0.05e-3 * adapters + 2e-6 * tokens if adapters else 0.0
        drafting = draft * (0.3e-3 + 5e-9 * context) if draft and decodes else 0.0
        return StepParts(
            5.0e-3 + 16e-6 * tokens,
            58e-9 * context + 2e-9 * pairs,
            0.4e-3 + 1e-6 * outputs,
            lora,
            drafting,
            0.0,
            1e-3 + 10e-6 * decodes,
        )

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The line through no context."""
        at_zero = self.parts(Batch(decodes, 0, (), decodes * (draft_length + 1), draft_length, adapters))
        return DecodeLine(
            at_zero, StepParts(0.0, 58e-9, 0.0, 0.0, 5e-9 * draft_length, 0.0, 0.0), 0.0, float("inf")
        )


@dataclass(frozen=True)
class Case:
    """A fleet and the trace's features."""

    name: str
    fleet: FleetSetup
    adapters: bool = False
    prefixes: bool = False


def base_case() -> Case:
    """Nothing but batching."""
    return cases()[0]


def everything_case() -> Case:
    """Every feature at once, on four replicas."""
    return cases()[-1]


def cases() -> list[Case]:
    """The base, one feature at a time, everything."""
    limits = EngineLimits(max_num_seqs=256, max_num_batched_tokens=8192)
    base = ReplicaSetup(limits, H100Like(), kv_blocks=28_000)
    lora_limits = limits.model_copy(update={"max_loras": 64, "max_cpu_loras": 512, "max_lora_rank": 16})
    loads = AdapterLoads((0.05,) * ADAPTERS, (0.004,) * ADAPTERS)
    lora = replace(base, limits=lora_limits, loads=loads)
    overlapped = replace(lora, limits=lora_limits.model_copy(update={"load_mode": "overlapped"}))
    speculation = SpecSetup(3, Acceptance(marginals=(0.7, 0.5, 0.35)), Acceptance(marginals=(0.6, 0.4, 0.25)))
    everything = replace(
        overlapped,
        limits=overlapped.limits.model_copy(update={"async_scheduling": True}),
        speculation=speculation,
        frontend_s=1e-3,
    )
    return [
        Case("base", FleetSetup(base)),
        Case("+ prefixes", FleetSetup(base), prefixes=True),
        Case("+ 1000 adapters, blocking", FleetSetup(lora), adapters=True),
        Case("+ 1000 adapters, overlapped", FleetSetup(overlapped), adapters=True),
        Case("+ speculation", FleetSetup(replace(base, speculation=speculation))),
        Case("+ 4 replicas, affinity", FleetSetup(lora, 4, "adapter-affinity"), adapters=True),
        Case("everything", FleetSetup(everything, 4, "adapter-affinity"), adapters=True, prefixes=True),
    ]


def trace_of(case: Case, requests: int, rate_rps: float) -> Trace:
    """Requests with the case's features; all at once where the rate is 0."""
    rng = np.random.default_rng(1)
    gaps_s = rng.exponential(1 / rate_rps, requests) if rate_rps else np.zeros(requests)
    prompt = np.clip(rng.lognormal(np.log(PROMPT_TOKENS) - 0.5, 1.0, requests), 1, 16_000).astype(np.int64)
    output = np.clip(rng.lognormal(np.log(OUTPUT_TOKENS) - 0.32, 0.8, requests), 1, 2_000).astype(np.int64)
    adapter = np.full(requests, -1, dtype=np.int64)
    names: tuple[str, ...] = ()
    if case.adapters:
        weights = 1 / np.arange(1, ADAPTERS + 1)
        adapter = rng.choice(ADAPTERS, requests, p=weights / weights.sum()).astype(np.int64)
        names = tuple(f"a{i}" for i in range(ADAPTERS))
    prefixes = None
    if case.prefixes:  # a system prompt of up to 512 tokens for each of 50 groups, then private text
        blocks = prompt // 64
        offsets = np.concatenate(([0], np.cumsum(blocks)))
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], blocks)
        owner = np.repeat(np.arange(requests), blocks)
        ids = np.where(place < 8, (owner % 50) * 8 + place, 1_000 + offsets[:-1][owner] + place)
        prefixes = Prefixes(offsets, ids, 64)
    return Trace(np.cumsum(gaps_s), prompt, output, adapter, names, None, prefixes)


def _measure(case: Case, engine: Engine, requests: int) -> None:
    burst = simulate_fleet(case.fleet, trace_of(case, 4_000, 0.0))
    trace = trace_of(case, requests, 0.8 * 4_000 / burst.end_s)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_ns = time.process_time_ns()
    result = simulate_fleet(case.fleet, trace, engine=engine)
    cpu_s = (time.process_time_ns() - start_ns) / 1e9
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    busy = result.step_time_s / result.end_s / case.fleet.replicas
    tokens = int(result.output_tokens.sum() + result.prompt_tokens.sum())
    sys.stdout.write(
        f"{case.name:30s} {engine:9s} {requests / cpu_s:10,.0f} requests/s {tokens / cpu_s:14,.0f} tokens/s"
        f" {grown / requests:7,.0f} bytes/request  busy {busy:4.0%}"
        f"  steps/request {result.steps / requests:5.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Print one line a case and engine, each from a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--plain-requests", type=int, default=2_000)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--one", choices=("plain", "skipping"), help="run the case in this process")
    given = parser.parse_args()
    for case in cases():
        if given.one and case.name == given.only:
            _measure(case, given.one, given.plain_requests if given.one == "plain" else given.requests)
        elif not given.one and given.only in case.name:
            counts = ["--requests", str(given.requests), "--plain-requests", str(given.plain_requests)]
            for engine in ("plain", "skipping"):
                command = [sys.executable, "-m", "benchmarks.simulator_speed", "--only", case.name]
                subprocess.run([*command, "--one", engine, *counts], check=True)


if __name__ == "__main__":
    main()
