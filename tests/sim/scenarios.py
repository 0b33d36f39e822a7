"""Random fleets and traces, small but nasty, valid by construction: a hypothesis strategy, or by a seed.

Switches and sizes are picked, so that hypothesis can shrink them; times and lengths come from a seeded
generator, so that no two events fall on one instant by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st

from advisor.sim.setup import AdapterLoads, Failure, FleetSetup, ReplicaSetup, Router, Scaling, SpecSetup
from advisor.spec.engine import Batching, EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import Prefixes, Trace
from tests.sim.clocks import AffineClock

T = TypeVar("T")


class Pick(Protocol):
    """Chooses one of some values."""

    def __call__(self, values: Sequence[T], /) -> T: ...


@dataclass(frozen=True)
class Scenario:
    fleet: FleetSetup
    trace: Trace
    seed: int


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Scenarios as hypothesis draws and shrinks them."""

    def pick(values: Sequence[T], /) -> T:
        return draw(st.sampled_from(values))

    return _scenario(pick, draw(st.integers(0, 2**32 - 1)))


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed, without hypothesis: many in a row, each found again by its number."""
    rng = np.random.default_rng(seed)

    def pick(values: Sequence[T], /) -> T:
        return values[int(rng.integers(len(values)))]

    return _scenario(pick, int(rng.integers(2**32)))


def _scenario(pick: Pick, seed: int) -> Scenario:
    rng = np.random.default_rng(seed)
    adapters = pick((0, 1, 2, 4, 8))
    block_tokens = pick((1, 4, 16))
    gamma = pick((0, 0, 1, 3))
    trace = _trace(pick, rng, adapters)
    limits = _limits(pick, adapters, block_tokens, gamma)
    needed = -(-(trace.prompt_tokens + trace.output_tokens - 1 + gamma) // block_tokens)
    spare = pick((0, 1, 5, 20, 10_000))
    speculation = None
    if gamma:
        base, tuned = _acceptance(rng), _acceptance(rng)
        one_length = limits.batching == "prompts_first"
        schedule = () if one_length else _schedule(pick, rng, gamma)
        speculation = SpecSetup(gamma, base, tuned, _own(pick, rng, adapters), schedule)
    replica = ReplicaSetup(
        limits=limits,
        clock=_clock(pick, rng),
        kv_blocks=int(needed.max(initial=1)) + spare,
        loads=AdapterLoads(
            tuple((0.1 * rng.random(adapters)).tolist()), tuple((0.02 * rng.random(adapters)).tolist())
        ),
        speculation=speculation,
        frontend_s=pick((0.0, 1.3e-3)),
        frontend_per_prompt_token_s=pick((0.0, 1e-6)),
        preloaded=tuple(rng.permutation(adapters)[: pick(range(adapters + 1))].tolist()),
    )
    return Scenario(_fleet(pick, rng, replica, trace.duration_s + 1.0), trace, pick(range(2**20 + 1)))


def _acceptance(rng: np.random.Generator) -> Acceptance:
    return Acceptance(marginals=tuple(np.sort(rng.random(4))[::-1].tolist()))


def _own(pick: Pick, rng: np.random.Generator, adapters: int) -> tuple[tuple[int, Acceptance], ...]:
    """Some adapters with an acceptance of their own."""
    if not pick((False, True)):
        return ()
    return tuple((adapter, _acceptance(rng)) for adapter in range(adapters) if rng.random() < 0.5)


def _schedule(pick: Pick, rng: np.random.Generator, gamma: int) -> tuple[tuple[int, int], ...]:
    """Draft lengths by requests in a step, in any order, no drafts among them."""
    ranges = pick((0, 0, 1, 2, 4))
    starts = 1 + np.sort(rng.choice(8, ranges, replace=False))
    starts[:1] = 1
    return tuple((int(start), int(rng.integers(0, gamma + 1))) for start in starts)


def _trace(pick: Pick, rng: np.random.Generator, adapters: int) -> Trace:
    count = pick(range(1, 30 + 1))
    mean_gap_s = pick((1e-3, 1e-2, 5e-2, 0.3))
    together = pick((0.0, 0.5))  # share of requests that arrive with the one before
    prompt = rng.integers(1, pick((5, 40, 200)) + 1, count)
    output = rng.integers(1, pick((1, 5, 60)) + 1, count)
    return Trace(
        arrival_s=np.cumsum(rng.exponential(mean_gap_s, count) * (rng.random(count) >= together)),
        prompt_tokens=prompt,
        output_tokens=output,
        adapter=rng.integers(-1, adapters, count),
        adapters=tuple(f"adapter-{i}" for i in range(adapters)),
        priority=rng.integers(0, 3, count) if pick((False, True)) else None,
        prefixes=_prefixes(pick, rng, prompt) if pick((False, True)) else None,
    )


def _prefixes(pick: Pick, rng: np.random.Generator, prompt: np.ndarray) -> Prefixes:
    """Two shared texts, of which each prompt begins with some blocks of one; the rest is its own."""
    block_tokens = pick((2, 8, 24))
    blocks = prompt // block_tokens
    ids: list[int] = []
    for request, count in enumerate(blocks.tolist()):
        shared = int(rng.integers(0, count + 1))
        text = int(rng.integers(0, 2))
        ids += [1000 * text + place for place in range(shared)]
        ids += [10_000 + 1000 * request + place for place in range(shared, count)]
    return Prefixes(np.concatenate(([0], np.cumsum(blocks))), np.asarray(ids, dtype=np.int64), block_tokens)


def _limits(pick: Pick, adapters: int, block_tokens: int, gamma: int) -> EngineLimits:
    slots = pick(range(1, 4 + 1)) if adapters else 0
    kinds: tuple[Batching, ...] = ("mixed", "mixed", "prompts_first", "one_adapter")
    batching = pick(kinds)
    threshold = pick((0, 3, 20))
    overlapped = pick((False, True)) and batching != "one_adapter"
    return EngineLimits(
        max_num_seqs=pick((1, 2, 5, 256)),
        max_num_batched_tokens=gamma + pick((1, 2, 7, 30, 300)),
        max_loras=slots,
        max_cpu_loras=slots + pick(range(2 + 1)) if slots else 0,
        max_lora_rank=8 if slots else 0,
        kv_block_tokens=block_tokens,
        prefix_caching=pick((False, True)),
        policy=pick(("fcfs", "priority")),
        long_prefill_token_threshold=0 if batching == "prompts_first" else threshold,
        load_mode="overlapped" if overlapped else "blocking",
        async_scheduling=pick((False, True)),
        batching=batching,
    )


def _clock(pick: Pick, rng: np.random.Generator) -> AffineClock:
    return AffineClock(
        step_s=8e-3 * (1 + rng.random()),
        token_s=2e-5 * (1 + rng.random()),
        context_token_s=7e-8 * (1 + 100 * rng.random()),
        host_s=2e-3 * (1 + 12 * rng.random()),
        overlapped_host=pick((False, True)),
        graph_tokens=pick((0, 4)),
    )


def _fleet(pick: Pick, rng: np.random.Generator, replica: ReplicaSetup, end_s: float) -> FleetSetup:
    replicas = pick(range(1, 3 + 1))
    router: Router = pick(("round-robin", "least-outstanding", "adapter-affinity"))
    horizon_s = float(1.5 * end_s * rng.random() + 1e-3) if pick((False, True)) else None
    if pick((False, True)):
        scaling = _scaling(pick, rng, replicas, end_s)
        return FleetSetup(replica, replicas, router, horizon_s=horizon_s, scaling=scaling)
    failures = tuple(
        Failure(int(rng.integers(0, replicas)), end_s * rng.random(), end_s * rng.random())
        for _ in range(pick((0, 0, 1, 3)))
    )
    return FleetSetup(
        replica=replica,
        replicas=replicas,
        router=router,
        start_s=tuple((0.5 * end_s * rng.random(replicas)).tolist()) if pick((False, True)) else (),
        failures=failures,
        horizon_s=horizon_s,
    )


def _scaling(pick: Pick, rng: np.random.Generator, replicas: int, end_s: float) -> Scaling:
    return Scaling(
        target=float(pick((0.5, 1.0, 4.0, 30.0))),
        start_up_s=float(rng.random() * end_s * pick((0.0, 0.01, 0.3))),
        min_replicas=pick(range(replicas + 1)),
        interval_s=float(end_s * (0.001 + rng.random()) * pick((0.01, 0.1, 1.0))),
        window_s=float(end_s * rng.random() * pick((0.0, 0.05, 0.5))),
        tolerance=pick((0.0, 0.1, 0.5)),
    )
