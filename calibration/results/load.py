"""The same requests anew: when they are sent, how long they are, which adapter they ask for.

A generator that keeps C requests in flight sends the i-th when i + 1 - C answers have come. Those times
depend on the server, so they are found with it: simulate, send anew by the answers found, until nothing
moves. Each round settles at least the next request, so it ends; the first guess is a server that itself
takes at most C at once, which is nearly it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.replayed import OK
from advisor.sim.result import SimResult
from advisor.trace.trace import BASE, Trace
from calibration.results.measured import MeasuredRun
from calibration.results.requests import Answer

Floats = NDArray[np.float64]
_SETTLED: Final = 1e-3
_MOST_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent. `trace`: at the wanted times; `at_once`: most in flight, None for no limit."""

    trace: Trace
    at_once: int | None
    notes: tuple[str, ...]


def load_of(run: MeasuredRun, answers: Sequence[Answer] | None, *, adapters: int, seed: int) -> Load:
    """Rebuild a run's load.

    Args:
        run: what was measured.
        answers: every request, where the file tells them: lengths and order are theirs.
        adapters: asked for, each request by one drawn evenly; 0: the base.
        seed: of arrivals and of adapters.
    """
    rng = np.random.default_rng(seed)
    told = None
    if answers is not None:
        good = [answer for answer in answers if answer.status == OK and answer.prompt_tokens > 0]
        told = sorted(good, key=lambda answer: answer.arrival_s)
    if not told:
        prompts = np.full(run.completed, max(round(run.prompt_tokens), 1))
        outputs = np.full(run.completed, max(round(run.output_tokens), 1))
        notes = ["Every request has the mean lengths: the file does not tell each. Tails are too short."]
    else:
        prompts = np.asarray([answer.prompt_tokens for answer in told])
        outputs = np.asarray([max(answer.wanted_tokens, answer.output_tokens, 1) for answer in told])
        notes = []
    arrival = _arrivals(run, told, len(prompts), rng, notes)
    chosen = _evenly(adapters, len(prompts), rng) if adapters else np.full(len(prompts), BASE)
    if run.failed:
        notes.append(f"{run.failed} requests failed and are left out.")
    trace = Trace(
        arrival_s=arrival,
        prompt_tokens=prompts.astype(np.int64),
        output_tokens=outputs.astype(np.int64),
        adapter=chosen.astype(np.int64),
        adapters=tuple(f"adapter-{index}" for index in range(adapters)),
        name=run.name,
    )
    if adapters:
        notes.append(
            "Which request asked for which adapter is not told: each is asked for as often, in random order."
        )
    return Load(trace, run.max_concurrency, tuple(notes))


def _arrivals(
    run: MeasuredRun,
    told: Sequence[Answer] | None,
    count: int,
    rng: np.random.Generator,
    notes: list[str],
) -> Floats:
    if run.request_rate_rps is None and run.max_concurrency is not None:
        return np.zeros(count)
    if told:
        starts = np.asarray([answer.arrival_s for answer in told])
        return np.asarray(starts - starts[0])
    if run.request_rate_rps is None:
        return np.zeros(count)
    cv = 1.0 if run.arrival_cv is None else run.arrival_cv
    law = {0.0: "evenly spaced", 1.0: "Poisson"}.get(cv, f"gamma gaps with a variation of {cv:.3g}")
    notes.append(f"Arrivals are made anew: {law}, {run.request_rate_rps:.4g} requests/s.")
    mean_s = 1.0 / run.request_rate_rps
    shape = 1.0 / max(cv, 1e-9) ** 2
    gaps = rng.gamma(shape, mean_s / shape, count - 1) if cv else np.full(count - 1, mean_s)
    return np.concatenate([[0.0], np.cumsum(gaps)])


def _evenly(adapters: int, requests: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Every adapter once, in random order, and again."""
    rounds = -(-requests // adapters)
    return np.concatenate([rng.permutation(adapters) for _ in range(rounds)])[:requests]


def closed_loop(
    load: Load, simulate: Callable[[Trace], SimResult], limited: Callable[[Trace], SimResult]
) -> tuple[SimResult, bool]:
    """Simulate with at most `at_once` in flight.

    Args:
        load: requests and the limit.
        simulate: the server.
        limited: the same server that takes at most `at_once` at a time, for the first guess.

    Returns:
        The last round, and whether nothing moved any more by more than a thousandth of a mean latency.
    """
    trace, at_once = load.trace, load.at_once
    if at_once is None or at_once >= len(trace):
        return simulate(trace), True
    sent = _sent(trace.arrival_s, limited(trace).last_token_s, at_once)
    result = simulate(replace(trace, arrival_s=sent))
    for _ in range(_MOST_ROUNDS):
        again = _sent(trace.arrival_s, result.last_token_s, at_once)
        moved = float(np.max(np.abs(again - sent)))
        if moved <= _SETTLED * float(np.nanmean(result.e2e_s)):
            return result, True
        sent = again
        result = simulate(replace(trace, arrival_s=sent))
    return result, False


def _sent(wanted: Floats, ended: Floats, at_once: int) -> Floats:
    """The i-th request is sent when it is wanted and i + 1 - at_once answers have come."""
    free = np.sort(ended)[: len(ended) - at_once]
    return np.asarray(np.maximum.accumulate(np.maximum(wanted, np.concatenate([np.zeros(at_once), free]))))
