"""What a profile says of a server that is known from outside: the same requests in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from advisor.errors import InputError
from advisor.profile import Profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, adapter_bytes
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import Trace

_TIMES: Final = (
    "scheduled_s", "first_token_s", "last_token_s", "ttft_causes_s", "decode_causes_s", "end_s",
    "step_time_s", "load_s", "itl_s",
)  # fmt: skip


def predict_server(
    profile: Profile,
    limits: EngineLimits,
    trace: Trace,
    *,
    kv_blocks: int,
    warm: Sequence[str] = (),
    slowness: float = 1.0,
    seed: int = 0,
) -> SimResult:
    """Simulate what the server would do with a trace.

    Args:
        profile: from `calibrate endpoint`.
        limits: as the server runs; slots 0 for a server without adapters, or a merged model.
        trace: what is asked.
        kv_blocks: of its KV cache, of limits.kv_block_tokens.
        warm: adapters that were used before, in this order.
        slowness: everything takes so many times as long as when it was calibrated (a shared machine).
        seed: of the simulation.

    Raises:
        InputError: adapters are to be served, and the profile has no LoRA term.
    """
    terms = profile.models[0]
    if limits.max_loras and terms.lora is None:
        raise InputError(f"{profile.name}: has no LoRA term; calibrate with --adapter.")
    loads = AdapterLoads((), ())
    if limits.max_loras:
        size = adapter_bytes(terms.model, ALL_LINEAR, limits.max_lora_rank)
        count = len(trace.adapters)
        disk, slot = (profile.load(hop).seconds(size) for hop in ("disk_to_cpu", "cpu_to_slot"))
        loads = AdapterLoads((disk,) * count, (slot,) * count)
    place = {name: index for index, name in enumerate(trace.adapters)}
    replica = ReplicaSetup(
        limits=limits,
        clock=ProfileClock(profile, terms, limits),
        kv_blocks=kv_blocks,
        loads=loads,
        frontend_s=profile.frontend.fixed_s,
        frontend_per_prompt_token_s=profile.frontend.per_prompt_token_s,
        preloaded=tuple(place[name] for name in warm if name in place),
    )
    quick = replace(trace, arrival_s=trace.arrival_s / slowness)  # the same on a slower clock
    found = simulate_fleet(FleetSetup(replica=replica), quick, seed=seed)
    return replace(
        found,
        arrival_s=trace.arrival_s,
        series=(),
        **{name: getattr(found, name) * slowness for name in _TIMES},
    )
