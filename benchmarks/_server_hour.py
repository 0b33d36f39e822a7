"""One hour of the public multi-LoRA server in the simulator, counted as its client counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.datafiles import data_dir
from advisor.deployment import Variant
from advisor.profile import Profile, load_profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import FleetSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR
from advisor.trace.scale import take
from advisor.trace.trace import Trace
from benchmarks._server_client import Lengths, trace_of
from benchmarks._server_runs import HORIZON_S, Measured, Run
from calibration.importers.server_files import read_capacity
from calibration.importers.server_profile import MEMORY_SHARE, MODELS
from calibration.importers.server_traffic import scan_s

STEP_TOKENS = 2048
"""max_num_batched_tokens of vLLM's API server below 70 GiB of device memory (engines.md 5.7)."""
CLIENT_PORTS = 28_232
"""Linux's ports for outgoing connections (ip_local_port_range, 32768 to 60999); of one machine here."""
CLOSED_S = 60.0
"""How long Linux keeps the port of a closed connection (TIME_WAIT)."""
FIRST_LOOK_S = 900.0
_LONG_QUEUE = 500.0
"""Waiting requests after the first look; as many as scan for an eighth of a millisecond a step."""


def limits_of(run: Run) -> EngineLimits:
    """The server's command line, and defaults of its version."""
    return EngineLimits(
        max_num_seqs=run.max_num_seqs,
        max_num_batched_tokens=STEP_TOKENS,
        max_loras=run.max_loras,
        max_cpu_loras=run.adapters,
        max_lora_rank=run.rank,
        prefix_caching=False,
        load_mode="blocking",
        async_scheduling=False,
    )


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server besides its runs."""

    profile: Profile
    kv_tokens: dict[tuple[int, int], float]  # (rank, slots) -> tokens of the KV cache, as logged
    scan_s: float  # a step's scheduler time for each waiting request that is passed over


def servers(folder: Path) -> dict[str, Server]:
    """Both models' servers, from the shipped profiles and the calibration files."""
    e2e, profiles = folder / "e2e", data_dir() / "profiles" / "servers"
    return {
        name: Server(
            profile=load_profile(profiles / f"h100_64gb-vllm-0.8-{ending}.json"),
            kv_tokens={(rank, slots): kv for slots, rank, kv in read_capacity(e2e, name)},
            scan_s=scan_s(e2e),
        )
        for ending, (name, _) in MODELS.items()
    }


def simulate_hour(run: Run, server: Server, shape: Lengths, *, seed: int = 0) -> tuple[Trace, SimResult]:
    """One hour of this server in the simulator.

    The client opens a connection a request; when the machine's ports are used up, requests fail before they
    are sent. Where the first quarter of an hour ends with a long queue, the hour is simulated with the
    scheduler's time to look through the queue, and without the ports that closed connections still hold.
    """
    trace = trace_of(run, shape, seed=seed)
    cut = int(np.searchsorted(trace.arrival_s, FIRST_LOOK_S))
    first = _pass(run, server, take(trace, np.arange(cut)), CLIENT_PORTS, 0.0, FIRST_LOOK_S)
    at_end, passed_over = queue_after(first)
    if at_end < _LONG_QUEUE:
        return trace, _pass(run, server, trace, CLIENT_PORTS, 0.0, HORIZON_S)
    held = int(CLOSED_S * first.done.sum() / FIRST_LOOK_S)
    scanning_s = server.scan_s * passed_over * mean_of_ramp(at_end / FIRST_LOOK_S, CLIENT_PORTS - held)
    return trace, _pass(run, server, trace, CLIENT_PORTS - held, scanning_s, HORIZON_S)


def _pass(
    run: Run, server: Server, trace: Trace, most: int, scanning_s: float, horizon_s: float
) -> SimResult:
    profile = server.profile
    host = profile.host.model_copy(update={"fixed_s": profile.host.fixed_s + scanning_s})
    profile = profile.model_copy(update={"host": host})
    variant = Variant("multi-lora", profile, profile.models[0], None, MEMORY_SHARE, ALL_LINEAR)
    limits = limits_of(run)
    replica = variant.replica(limits, (run.rank,) * run.adapters)
    known = server.kv_tokens.get((run.rank, run.max_loras))
    blocks = replica.kv_blocks if known is None else int(known) // limits.kv_block_tokens
    replica = replace(replica, kv_blocks=blocks, preloaded=tuple(range(run.adapters)))
    return simulate_fleet(FleetSetup(replica=replica, horizon_s=horizon_s, max_outstanding=most), trace)


def queue_after(result: SimResult) -> tuple[float, float]:
    """Requests that wait at the end; the share of all waiting that is for an adapter to make room."""
    waiting = (result.replica >= 0) & np.isnan(result.scheduled_s)
    causes = result.ttft_causes_s[np.isfinite(result.first_token_s)].sum(axis=0)
    queue, adapter = causes[CAUSES.index("queue")], causes[CAUSES.index("adapter_wait")]
    return float(waiting.sum()), float(adapter / max(queue + adapter, 1e-9))


def mean_of_ramp(per_second: float, most: float) -> float:
    """Mean over the hour of a queue that grows evenly until it is full."""
    full_after_s = most / per_second
    if full_after_s >= HORIZON_S:
        return 0.5 * per_second * HORIZON_S
    return most * (1.0 - 0.5 * full_after_s / HORIZON_S)


def counted(result: SimResult) -> Measured:
    """What vLLM's client would print: requests that ended within the hour, gaps between their tokens."""
    done = result.done & (result.last_token_s <= HORIZON_S)
    tokens = result.output_tokens[done]
    decode_s = result.last_token_s[done] - result.first_token_s[done]
    ttft = result.ttft_s[done]
    return Measured(
        completed=float(done.sum()),
        output_tokens_per_s=float(tokens.sum()) / HORIZON_S,
        itl_mean_s=float(decode_s.sum() / np.maximum(tokens - 1, 0).sum()),
        tpot_mean_s=float(result.tpot_s[done][tokens > 1].mean()),
        ttft_mean_s=float(ttft.mean()),
        ttft_p50_s=float(np.median(ttft)),
    )
