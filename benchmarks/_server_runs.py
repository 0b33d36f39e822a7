"""The one-hour runs of the public multi-LoRA server, and the same hour in the simulator.

The runs: FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96 (Apache-2.0), family
digital_twin_modelling/real_results: vLLM 0.8.5 (V1), ShareGPT prompts, a Poisson process for each adapter.
What their launcher and their client do, read in benchmarks/lora/benchmark_serving_by_time.py, is repeated here:
which adapter has which rate, when each request is sent, when the clock stops, what is counted.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.deployment import Variant
from advisor.profile import Profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import FleetSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR
from advisor.trace.trace import Trace
from calibration.importers.server_files import csv_rows

Array = NDArray[np.float64]

RUNS = "bsc_vllm_multilora_runs.csv.gz"
FAMILY = "digital_twin_modelling/real_results"
HORIZON_S = 3600.0
STEP_TOKENS = 2048
"""max_num_batched_tokens of vLLM's API server below 70 GiB of device memory (engines.md 5.7)."""
MEMORY_SHARE = 0.9
"""gpu_memory_utilization of vLLM 0.8; the launcher does not set it."""
LARGEST_TOKENS = 1024
"""Longest prompt that vLLM's ShareGPT sampler keeps; prompt and answer together keep below twice that."""
SHORTEST_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """What the client printed at the end of a run."""

    completed: float
    output_tokens_per_s: float
    itl_mean_s: float
    tpot_mean_s: float
    ttft_mean_s: float
    ttft_p50_s: float


METRICS = tuple(Measured.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Run:
    """One hour of one server."""

    model: str
    rank: int
    rates_rps: tuple[float, ...]
    adapters: int
    max_loras: int
    max_num_seqs: int
    prompt_tokens: float  # mean of the served requests
    answer_tokens: float  # mean of the answers, as the model ended them
    offered_answer_tokens: float  # mean of max_tokens, where the model ends no answer early
    measured: Measured

    @property
    def key(self) -> str:
        """Model, rank, rates, adapters and slots in one word."""
        return f"{self.model}/r{self.rank}/{max(self.rates_rps):g}/{self.adapters}/{self.max_loras}"

    @property
    def workload(self) -> tuple[str, int, float, int]:
        """What stays the same while max_loras is varied."""
        return self.model, self.rank, max(self.rates_rps), self.adapters

    @property
    def offered_tokens_per_s(self) -> float:
        """Answer tokens that the adapters ask for in a second."""
        return float(np.sum(adapter_rates(self.adapters, self.rates_rps))) * self.answer_tokens


@dataclass(frozen=True, slots=True)
class Lengths:
    """Shape of the length distributions: log-normal, cut at 4 and 1024 tokens, scaled to a run's mean."""

    prompt_sigma: float = 1.5
    answer_sigma: float = 1.1


def read_hours(folder: Path) -> list[Run]:
    """Every one-hour run, in the order of the file."""
    columns = ("family", "model", "max_loras", "num_adapters", "adapter_rates_rps", "output_tok_s")
    return [_run(row) for row in csv_rows(folder / "e2e" / RUNS, columns) if row["family"] == FAMILY]


def _run(row: dict[str, str]) -> Run:
    done = float(row["completed"])
    assert float(row["total_time_s"]) == HORIZON_S
    assert row["max_cpu_loras"] == row["num_adapters"]
    return Run(
        model=row["model"],
        rank=int(row["max_lora_rank"]),
        rates_rps=tuple(float(rate) for rate in row["adapter_rates_rps"].split()),
        adapters=int(row["num_adapters"]),
        max_loras=int(row["max_loras"]),
        max_num_seqs=int(row["max_num_seqs"]),
        prompt_tokens=float(row["input_tokens"]) / done,
        answer_tokens=float(row["output_tokens"]) / done,
        offered_answer_tokens=float(row["offered_output_tokens"]) / float(row["offered_requests"]),
        measured=Measured(
            completed=done,
            output_tokens_per_s=float(row["output_tok_s"]),
            itl_mean_s=1e-3 * float(row["itl_mean_ms"]),
            tpot_mean_s=1e-3 * float(row["tpot_mean_ms"]),
            ttft_mean_s=1e-3 * float(row["ttft_mean_ms"]),
            ttft_p50_s=1e-3 * float(row["ttft_p50_ms"]),
        ),
    )


def adapter_rates(adapters: int, rates_rps: tuple[float, ...]) -> Array:
    """Rate of each adapter: the classes in turn (the client then shuffles which adapter has which)."""
    return np.asarray([rates_rps[index % len(rates_rps)] for index in range(adapters)])


def sending_times(rates_rps: Array, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """When the client sends, and for which adapter.

    One task an adapter sleeps for an exponential time, sends, draws the next, as the client does: all tasks
    draw from one stream in the order in which they wake up. With the client's seed 0 the count of requests
    is that of the runs to about 0.1 %.
    """
    draw = np.random.RandomState(seed)  # noqa: NPY002 - the client's own stream
    waking = [(float(draw.exponential(1.0 / rate)), index) for index, rate in enumerate(rates_rps)]
    heapq.heapify(waking)
    times, adapters = [], []
    while waking:
        now, adapter = waking[0]
        pause = float(draw.exponential(1.0 / rates_rps[adapter]))
        times.append(now)
        adapters.append(adapter)
        if now + pause >= HORIZON_S:
            heapq.heappop(waking)
        else:
            heapq.heapreplace(waking, (now + pause, adapter))
    return np.asarray(times), np.asarray(adapters, dtype=np.int64)


def lengths(mean: float, sigma: float, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Whole token counts from a log-normal law cut at 4 and 1024, with this mean."""
    from scipy.special import ndtr, ndtri

    def draw(mu: float, share: Array) -> Array:
        low, high = (ndtr((np.log(edge) - mu) / sigma) for edge in (SHORTEST_TOKENS, LARGEST_TOKENS))
        return np.exp(mu + sigma * ndtri(low + share * (high - low)))

    grid = (np.arange(4000) + 0.5) / 4000
    low, high = 0.0, np.log(LARGEST_TOKENS) + 4 * sigma
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if draw(middle, grid).mean() < mean else (low, middle)
    return np.rint(draw(high, random.random(count))).astype(np.int64)


def trace_of(run: Run, shape: Lengths, *, seed: int = 0) -> Trace:
    """The hour's requests. Runs of one workload that differ in max_loras get the same ones."""
    arrival_s, adapter = sending_times(_shuffled(adapter_rates(run.adapters, run.rates_rps)))
    random = np.random.default_rng(seed)
    count = len(arrival_s)
    return Trace(
        arrival_s=arrival_s,
        prompt_tokens=lengths(run.prompt_tokens, shape.prompt_sigma, count, random),
        output_tokens=lengths(run.answer_tokens, shape.answer_sigma, count, random),
        adapter=adapter,
        adapters=tuple(f"a{index}" for index in range(run.adapters)),
        name=run.key,
    )


def _shuffled(rates: Array) -> Array:
    """The client's own shuffle of rates over adapters: Python's generator with seed 0."""
    from random import Random  # noqa: TID251 - the client's own stream

    order = list(range(len(rates)))
    Random(0).shuffle(order)
    return rates[order]


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


def simulate_hour(run: Run, profile: Profile, shape: Lengths, *, seed: int = 0) -> tuple[Trace, SimResult]:
    """One hour of this server in the simulator."""
    variant = Variant("multi-lora", profile, profile.models[0], None, MEMORY_SHARE, ALL_LINEAR)
    trace = trace_of(run, shape, seed=seed)
    replica = variant.replica(limits_of(run), (run.rank,) * run.adapters)
    fleet = FleetSetup(replica=replica, horizon_s=HORIZON_S)
    return trace, simulate_fleet(fleet, trace)


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
