"""The client of the public multi-LoRA server: which adapter has which rate, when it sends, and what.

Read in benchmarks/lora/benchmark_serving_by_time.py of FerranAgulloLopez/GPULLMAdapterOptimization
(Apache-2.0) and repeated here: the shuffle of rates over adapters, one sleeping task an adapter, seed 0.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.trace.trace import Trace
from benchmarks._server_runs import HORIZON_S, Run

Array = NDArray[np.float64]

SHORTEST_TOKENS = 4
"""Shortest prompt and answer that vLLM's ShareGPT sampler keeps."""


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
    their dummy data sets (p25, mean, p75; Llama-2 tokens): 23, 250, 423 in and 27, 231, 358 out. The file
    holds pieces of conversations that begin with either speaker, and the filter takes the first two turns as
    they come: a long first turn often means a short second one. How often is not published: `opposite` is the
    chance that prompt and answer lie in opposite halves of their laws. 0.5 is independence, 1 strict; the
    default is half way.
    """

    prompt: Law = Law(250.0, 23.0, 423.0, 1024.0)
    answer: Law = Law(231.0, 27.0, 358.0, 1800.0)
    opposite: float = 0.75


def adapter_rates(adapters: int, rates_rps: tuple[float, ...]) -> Array:
    """Rate of each adapter: the classes in turn (the client then shuffles which adapter has which)."""
    return np.asarray([rates_rps[index % len(rates_rps)] for index in range(adapters)])


def sending_times(rates_rps: Array, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """When the client sends, and for which adapter.

    One task an adapter sleeps for an exponential time, sends, draws the next, as the client does: all tasks
    draw from one stream in the order in which they wake up. With the client's seed 0 the count of requests
    is that of the runs to about 0.1 %.
    """
    draw = np.random.RandomState(seed)
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
    """Whole token counts: the law of largest entropy with this mean and the quartiles, scaled with the mean.

    Between two knots (4 tokens, p25, p75, the largest) the density is exp(-rate · x), with one rate for all
    three stretches; it is solved for the mean.
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
