"""S-LoRA's servers as the simulator can be told of them: vLLM's scheduling on S-LoRA's memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from advisor.datafiles import data_dir
from advisor.deployment import Variant
from advisor.profile import LoraTerm, Profile, load_profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.steptime.batch import Batch, DecodeLine, StepClock, StepParts
from advisor.steptime.terms import terms_for
from advisor.trace.trace import Trace
from benchmarks._slora_runs import Run, Setting

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
"""What the paper's adapters wrap."""
SEATS = 1000
"""running_max_req_size of S-LoRA."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU of the runs: memory bandwidth, and the servers' max_total_token_num by setting."""

    profile: str  # the shipped one that is nearest in memory; other bandwidth: all of it in proportion
    bandwidth_bytes_per_s: float
    pool_tokens: dict[str, int]
    lightest: tuple[str, int, float]  # setting, adapters, requests/s: says what the host adds to a step


MACHINES = {
    "a10g": Machine("l40s-vllm", 600e9, {"S1": 14_500, "S2": 14_500}, ("S1", 200, 1.0)),
    "a100-40": Machine("a100_sxm-vllm", 1555e9, {"S4": 14_000}, ("S4", 0, 2.0)),
    "a100-80": Machine(
        "a100_sxm-vllm", 2039e9, {"S1": 125_000, "S2": 125_000, "S4": 65_000}, ("S4", 400, 1.0)
    ),
    "H100 64 GB": Machine("a100_sxm-vllm", 2039e9, {"rank 32": 82_528}, ("rank 32", 32, 0.4)),
}


@dataclass(frozen=True, slots=True)
class Scaled:
    """A clock of another device: every part on the device takes `factor` times as long. A StepClock."""

    clock: StepClock
    factor: float

    def parts(self, batch: Batch) -> StepParts:
        """Seconds of any step, by component."""
        return self._scaled(self.clock.parts(batch))

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The line on which pure decode steps lie around this context."""
        line = self.clock.decode_line(decodes, adapters, draft_length, context_tokens)
        ends = (line.context_low, line.context_high)
        return DecodeLine(self._scaled(line.at_zero), self._scaled(line.slope), *ends)

    def _scaled(self, parts: StepParts) -> StepParts:
        return StepParts._make((*(self.factor * part for part in parts[:-1]), parts.host))


def simulate(run: Run, setting: Setting, requests: Trace, host_s: float | None) -> SimResult:
    """One run in the simulator.

    Args:
        run: what was measured.
        setting: its model and ranks.
        requests: what was sent.
        host_s: host time of a step, not hidden, with adapters as S-LoRA holds them; None: as shipped.
    """
    replica = _replica(run, setting, requests, host_s)
    horizon_s = run.duration_s if run.kind == "scaling" else None
    return simulate_fleet(FleetSetup(replica=replica, horizon_s=horizon_s), requests)


def _replica(run: Run, setting: Setting, requests: Trace, host_s: float | None) -> ReplicaSetup:
    machine = MACHINES[run.machine]
    profile = load_profile(data_dir() / "profiles" / f"{machine.profile}.json")
    terms = terms_for(profile, setting.model, 1)
    lora = terms.lora
    assert lora is not None  # the shipped profile has it
    if host_s is not None:
        profile, lora = _serial(profile, host_s), _pooled(lora)
    if run.system == "merge":
        lora = LoraTerm(origin=lora.origin, source="merged weights cost what the base costs")
    terms = terms.model_copy(update={"lora": lora})
    profile = profile.model_copy(update={"models": (terms,), "gemm": ()})
    variant = Variant("multi-lora" if run.adapters else "base", profile, terms, None, 0.9, MODULES)
    pool = machine.pool_tokens[run.setting]
    room, seats = _room(run, setting, requests, pool)
    limits = _limits(run, setting, pool, seats)
    replica = variant.replica(
        limits, tuple(setting.ranks[i % len(setting.ranks)] for i in range(run.adapters))
    )
    if run.system == "merge":
        merging_s = 2.0 * _wrapped_bytes(setting.model) / machine.bandwidth_bytes_per_s
        every = (2.0 * merging_s,) * run.adapters  # out of the weights, and into them
        replica = replace(replica, loads=AdapterLoads((0.0,) * run.adapters, every))
    clock = Scaled(replica.clock, profile.device.bandwidth_bytes_per_s / machine.bandwidth_bytes_per_s)
    blocks = room // limits.kv_block_tokens
    return replace(replica, clock=clock, kv_blocks=blocks, preloaded=tuple(range(run.adapters)))


def _limits(run: Run, setting: Setting, pool: int, seats: int) -> EngineLimits:
    slots = 1 if run.system == "merge" else min(run.adapters, seats)
    return EngineLimits(
        max_num_seqs=seats,
        max_num_batched_tokens=max(pool // 6, 3072),  # what S-LoRA takes by default
        max_loras=slots,
        max_cpu_loras=run.adapters,
        max_lora_rank=round(float(np.mean(setting.ranks))) if run.adapters else 0,
        prefix_caching=False,
    )


def _room(run: Run, setting: Setting, requests: Trace, pool: int) -> tuple[int, int]:
    """Tokens left for KV, and sequences that they hold.

    An adapter in the batch takes 4 tokens of the pool for each rank. S-LoRA admits a request only if the
    running ones will never outgrow the pool; with known lengths that is about as many as fill it on
    average, a sequence holding its prompt and half of its answer, long answers being seen more often.
    """
    answer = requests.output_tokens.astype(np.float64)
    held = float((answer * (requests.prompt_tokens + answer / 2)).sum() / answer.sum())
    rank, room, seats = float(np.mean(setting.ranks)), float(pool), SEATS
    for _ in range(8):  # fewer sequences, fewer adapters, more room: converges fast
        seats = max(1, min(SEATS, int(room / held)))
        distinct = run.adapters * (1.0 - (1.0 - 1.0 / run.adapters) ** seats) if run.adapters > 1 else 1.0
        room = pool - (4.0 * rank * distinct if run.adapters else 0.0)
    return int(room), seats


def _serial(profile: Profile, host_s: float) -> Profile:
    host = profile.host.model_copy(update={"fixed_s": host_s, "overlapped": False, "epsilon_s": 0.0})
    return profile.model_copy(update={"host": host})


def _pooled(term: LoraTerm) -> LoraTerm:
    """S-LoRA reserves no slots, and a distinct adapter costs no more than the bytes of its weights."""
    names = ("per_slot_s", "per_slot_token_s", "per_slot_prompt_token_s", "per_adapter_s")
    return term.model_copy(update=dict.fromkeys(names, 0.0))


def _wrapped_bytes(model: ModelShape) -> float:
    """Bytes of the four wrapped projections of all layers; here KV heads are as many as heads."""
    return 2.0 * model.layers * 4.0 * model.hidden_size**2
