"""The one-hour runs of the public multi-LoRA server, and the same hour in the simulator.

The runs: FerranAgulloLopez/GPULLMAdapterOptimization @ bae36e2dad96 (Apache-2.0), family
digital_twin_modelling/real_results: vLLM 0.8.5 (V1), ShareGPT prompts, a Poisson process for each adapter.
What their launcher and their client do, read in benchmarks/lora/benchmark_serving_by_time.py, is repeated here:
which adapter has which rate, when each request is sent, when the clock stops, what is counted.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.datafiles import data_dir
from advisor.deployment import Variant
from advisor.profile import Profile, load_profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import FleetSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR
from advisor.trace.trace import Trace
from calibration.importers.server_files import csv_rows, read_capacity
from calibration.importers.server_profile import MEMORY_SHARE, MODELS
from calibration.importers.server_traffic import scan_s

Array = NDArray[np.float64]

RUNS = "bsc_vllm_multilora_runs.csv.gz"
FAMILY = "digital_twin_modelling/real_results"
HORIZON_S = 3600.0
STEP_TOKENS = 2048
"""max_num_batched_tokens of vLLM's API server below 70 GiB of device memory (engines.md 5.7)."""
SHORTEST_TOKENS = 4
"""Shortest prompt and answer that vLLM's ShareGPT sampler keeps."""
CLIENT_PORTS = 28_232
"""Ports for outgoing connections on Linux (ip_local_port_range 32768 to 60999); client and server share a node."""
CLOSED_S = 60.0
"""How long Linux keeps the port of a closed connection (TIME_WAIT)."""
_LONG_QUEUE = 1000.0
"""Waiting requests whose scan takes a quarter of a millisecond a step."""


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
class Law:
    """Mean and quartiles of a length in tokens."""

    mean: float
    p25: float
    p75: float
    largest: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """Shape of the lengths; a run's own means scale it.

    The defaults are ShareGPT's under this client's filter, as the authors of the runs measured them to make
    their dummy data sets (p25, mean, p75; Llama-2 tokens): 23, 250, 423 in and 27, 231, 358 out. The file holds
    pieces of conversations that begin with either speaker, and the filter takes the first two turns as they come:
    a long first turn often means a short second one. How often is not published; `opposite` is the chance that
    prompt and answer lie in opposite halves of their laws: 0.5 is independence, 1 strict, the default half way.
    """

    prompt: Law = Law(250.0, 23.0, 423.0, 1024.0)
    answer: Law = Law(231.0, 27.0, 358.0, 1800.0)
    opposite: float = 0.75


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


def pairs(shape: Lengths, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Where prompt and answer of each request lie in their laws, 0 to 1."""
    prompt, answer = random.random(count), 0.5 * random.random(count)
    opposite = random.random(count) < shape.opposite
    return prompt, answer + 0.5 * (opposite == (prompt < 0.5))


def lengths(law: Law, mean: float, shares: Array) -> NDArray[np.int64]:
    """Whole token counts: the law of largest entropy with these quartiles (scaled with the mean) and this mean.

    Between two knots (4 tokens, p25, p75, the largest) the density falls as exp(-x / decay), with one decay for
    all three stretches; it is solved for the mean.
    """
    knots = np.asarray([SHORTEST_TOKENS, law.p25 * mean / law.mean, law.p75 * mean / law.mean, law.largest])
    low, high = -0.05, 0.2
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _quantiles(_GRID, knots, middle).mean() > mean else (low, middle)
    return np.rint(_quantiles(shares, knots, high)).astype(np.int64)


_GRID = (np.arange(20_000) + 0.5) / 20_000
_SHARES = (0.0, 0.25, 0.75, 1.0)


def _quantiles(shares: Array, knots: Array, rate: float) -> Array:
    """Inverse of the distribution: on [a, b] a + -ln(1 - u (1 - exp(-rate (b - a)))) / rate."""
    stretch = np.clip(np.searchsorted(_SHARES, shares, side="right") - 1, 0, 2)
    start, width = knots[stretch], np.diff(knots)[stretch]
    along = (shares - np.asarray(_SHARES)[stretch]) / np.diff(_SHARES)[stretch]
    if abs(rate) < 1e-9:
        return np.asarray(start + along * width)
    return np.asarray(start - np.log1p(along * np.expm1(-rate * width)) / rate)


def trace_of(run: Run, shape: Lengths, *, seed: int = 0) -> Trace:
    """The hour's requests. Runs of one workload that differ in max_loras get the same ones."""
    arrival_s, adapter = sending_times(_shuffled(adapter_rates(run.adapters, run.rates_rps)))
    random = np.random.default_rng(seed)
    prompt, answer = pairs(shape, len(arrival_s), random)
    return Trace(
        arrival_s=arrival_s,
        prompt_tokens=lengths(shape.prompt, run.prompt_tokens, prompt),
        output_tokens=lengths(shape.answer, run.answer_tokens, answer),
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


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server besides its runs."""

    profile: Profile
    kv_tokens: dict[tuple[int, int], float]  # (rank, slots) -> tokens of the KV cache, as the engine logged it
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

    The client opens a connection a request; when the machine's ports are used up, requests fail before they are
    sent. Where a first pass finds a long queue, a second one adds the scheduler's time to look through it, and
    takes off the ports that closed connections still hold.
    """
    trace = trace_of(run, shape, seed=seed)
    first = _pass(run, server, trace, CLIENT_PORTS, 0.0)
    waiting, passed_over = mean_queue(first)
    if waiting < _LONG_QUEUE:
        return trace, first
    held = int(CLOSED_S * first.done.sum() / HORIZON_S)
    return trace, _pass(run, server, trace, CLIENT_PORTS - held, server.scan_s * passed_over)


def _pass(run: Run, server: Server, trace: Trace, most: int, scanning_s: float) -> SimResult:
    profile = server.profile
    host = profile.host.model_copy(update={"fixed_s": profile.host.fixed_s + scanning_s})
    profile = profile.model_copy(update={"host": host})
    variant = Variant("multi-lora", profile, profile.models[0], None, MEMORY_SHARE, ALL_LINEAR)
    limits = limits_of(run)
    replica = variant.replica(limits, (run.rank,) * run.adapters)
    known = server.kv_tokens.get((run.rank, run.max_loras))
    blocks = replica.kv_blocks if known is None else int(known) // limits.kv_block_tokens
    replica = replace(replica, kv_blocks=blocks, preloaded=tuple(range(run.adapters)))
    return simulate_fleet(FleetSetup(replica=replica, horizon_s=HORIZON_S, max_outstanding=most), trace)


def mean_queue(result: SimResult) -> tuple[float, float]:
    """Mean number of waiting requests, and of those that their adapter keeps out."""
    accepted = result.replica >= 0
    scheduled_s = np.where(np.isnan(result.scheduled_s), HORIZON_S, result.scheduled_s)
    waiting = float((scheduled_s - result.arrival_s)[accepted].sum()) / HORIZON_S
    causes = result.ttft_causes_s[np.isfinite(result.first_token_s)].sum(axis=0)
    queue, adapter = causes[CAUSES.index("queue")], causes[CAUSES.index("adapter_wait")]
    return waiting, waiting * float(adapter / max(queue + adapter, 1e-9))


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
