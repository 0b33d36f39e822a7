"""What a profile says of a measured run: the same load on the same engine, in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.catalog.capabilities import engine as engine_of
from advisor.catalog.shapes import model as model_of
from advisor.errors import InputError
from advisor.profile import ModelTerms, Profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from advisor.steptime.clock import ProfileClock
from advisor.steptime.terms import terms_for
from advisor.trace.trace import Trace
from calibration.results.load import closed_loop, load_of
from calibration.results.measured import Latency, MeasuredRun, latency_of
from calibration.results.requests import Answer

_MOST_REQUESTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Server:
    """What a file does not tell of the server. None: the engine's default, or what the file says."""

    model: str | None = None
    tensor_parallel: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    memory_share: float | None = None
    adapters: int | None = None
    max_loras: int | None = None
    max_lora_rank: int | None = None


def predict_run(
    profile: Profile, run: MeasuredRun, answers: Sequence[Answer] | None, server: Server, *, seed: int = 0
) -> MeasuredRun:
    """Simulate a measured run and sum it up as its load generator would.

    Prompts share nothing and answers have the measured lengths. The client's own time is not in it.

    Raises:
        InputError: the model is not known, the profile lacks it or its LoRA terms, it does not fit, or
            adapters were asked for and nothing says how they are served.
    """
    adapters = run.adapters if server.adapters is None else server.adapters
    load = load_of(run, answers, adapters=adapters or 0, seed=seed)
    if len(load.trace) > _MOST_REQUESTS:
        raise InputError(f"{run.name}: has {len(load.trace)} requests; allowed: {_MOST_REQUESTS}.")
    degree = server.tensor_parallel or run.tensor_parallel
    terms = terms_for(profile, shape_of(run, server), degree)
    limits = _limits(profile, run, server, adapters or 0)
    share = server.memory_share or engine_of(profile.engine).memory_share
    replica = _replica(profile, terms, limits, share, adapters or 0)

    def simulate(trace: Trace) -> SimResult:
        return simulate_fleet(FleetSetup(replica=replica), trace, seed=seed)

    def limited(trace: Trace) -> SimResult:
        seats = min(limits.max_num_seqs, load.at_once or limits.max_num_seqs)
        few = limits.model_copy(update={"max_num_seqs": seats})
        own = _replica(profile, terms, few, share, adapters or 0)
        return simulate_fleet(FleetSetup(replica=own), trace, seed=seed)

    result, settled = closed_loop(load, simulate, limited)
    notes = load.notes
    if not settled:
        notes = (*notes, "The closed loop did not settle: sending times are known to within a few percent.")
    return _summed(run, result, profile, notes)


def shape_of(run: MeasuredRun, server: Server) -> ModelShape:
    """The catalog's model that a run names (InputError)."""
    name = server.model or run.model
    if not name:
        raise InputError(f"{run.name}: names no model; allowed: --model, a name of the catalog.")
    try:
        return model_of(name)
    except InputError as error:
        raise InputError(f"{run.name}: {error} Say which it is with --model.") from None


def _limits(profile: Profile, run: MeasuredRun, server: Server, adapters: int) -> EngineLimits:
    engine = engine_of(profile.engine)
    seats, budget = engine.default_limits(profile.device)
    slots, rank = server.max_loras or run.max_loras, server.max_lora_rank or run.max_lora_rank
    if adapters and not (slots and rank):
        raise InputError(
            f"{run.name}: {adapters} adapters were asked for; allowed: with --max-loras and --max-lora-rank "
            "of the server, which the file does not tell."
        )
    budget = server.max_num_batched_tokens or budget
    return EngineLimits(
        max_num_seqs=min(server.max_num_seqs or seats, budget),
        max_num_batched_tokens=budget,
        max_loras=slots or 0,
        max_cpu_loras=max(slots or 0, adapters) if slots else 0,
        max_lora_rank=(rank or 0) if slots else 0,
        kv_block_tokens=engine.kv_block_tokens,
        load_mode=engine.load_mode,
        batching=engine.batching,
        async_scheduling=profile.host.overlapped,
    )


def _replica(
    profile: Profile, terms: ModelTerms, limits: EngineLimits, share: float, adapters: int
) -> ReplicaSetup:
    if limits.max_loras and terms.lora is None:
        raise InputError(f"{profile.name}: has no LoRA term for {terms.model.name}; allowed: one that has.")
    padded = adapter_bytes(terms.model, ALL_LINEAR, limits.max_lora_rank) if limits.max_loras else 0
    disk, slot = profile.load("disk_to_cpu"), profile.load("cpu_to_slot")
    loads = AdapterLoads((), ())
    if adapters:
        loads = AdapterLoads((disk.seconds(padded),) * adapters, (slot.seconds(padded),) * adapters)
    return ReplicaSetup(
        limits=limits,
        clock=ProfileClock(profile, terms, limits),
        kv_blocks=_kv_blocks(profile, terms, limits, share, padded),
        loads=loads,
        frontend_s=profile.frontend.fixed_s,
        frontend_per_prompt_token_s=profile.frontend.per_prompt_token_s,
        preloaded=tuple(reversed(range(adapters))),
    )


def _kv_blocks(
    profile: Profile, terms: ModelTerms, limits: EngineLimits, share: float, slot_bytes: float
) -> int:
    """Blocks that fit beside weights, slots and overhead; slots are not sharded (the side of caution)."""
    model, degree, memory = terms.model, terms.tensor_parallel, profile.memory
    slots = limits.max_loras * slot_bytes * memory.slot_factor
    taken = model.weights_bytes / degree + memory.overhead_bytes + slots
    left = share * profile.device.memory_bytes - taken
    per_token = model.kv_bytes_per_token / min(degree, model.kv_heads)
    blocks = int(left // (per_token * limits.kv_block_tokens))
    if blocks < 1:
        raise InputError(
            f"{model.name} does not fit {degree} x {profile.device.name} at a memory share of {share:g}; "
            "allowed: what leaves room for a KV cache. Say --tensor-parallel, or name the right profile."
        )
    return blocks


def _summed(run: MeasuredRun, result: SimResult, profile: Profile, notes: tuple[str, ...]) -> MeasuredRun:
    done = result.done
    several = done & (result.output_tokens > 1)
    gaps = np.repeat(result.itl_s, result.itl_weight)
    return MeasuredRun(
        name=f"{run.name}, predicted",
        tool=f"simulation with {profile.name}",
        engine=profile.engine,
        model=run.model,
        request_rate_rps=run.request_rate_rps,
        max_concurrency=run.max_concurrency,
        completed=int(done.sum()),
        failed=int((~done).sum()),
        duration_s=float(np.nanmax(result.last_token_s) - result.arrival_s[0]),
        prompt_tokens=float(result.prompt_tokens[done].mean()),
        output_tokens=float(result.output_tokens[done].mean()),
        ttft=latency_of(result.ttft_s[done]),
        tpot=latency_of(result.tpot_s[several]) if several.any() else Latency(),
        itl=latency_of(gaps),
        e2e=latency_of(result.e2e_s[done]),
        notes=notes,
    )
