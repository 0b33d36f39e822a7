"""From a wish to a profile of somebody's server. Read `calibrate_endpoint` first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.errors import InputError, MeasurementError
from advisor.profile import Profile
from advisor.spec.device import Device
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from calibration.endpoint.ask import Bounds, Prober, SpentError
from calibration.endpoint.cold import churn, measure_loads, warm_up
from calibration.endpoint.overhead import measure_overhead
from calibration.endpoint.plan import SHORT, STEPS, Probe, probes
from calibration.endpoint.profile import Mark, profile_of
from calibration.endpoint.prompts import Prompts
from calibration.endpoint.ramp import counts, saturate
from calibration.endpoint.samples import Findings
from calibration.endpoint.server import Server, check_names, check_numbers, check_seats, look
from calibration.endpoint.sweep import Sweep
from calibration.replay.client import Target
from calibration.replay.words import WordCost, measured_cost

Progress = Callable[[float, str], None]
_FIRST_PASS: Final = 0.6
_DEAR: Final = 0.6
"""Shares of the budget: of the first pass; of what is left, for one probe."""
_MOST_PASSES: Final = 40
_WARM_PASSES: Final = 3
_LONGEST: Final = 4096
_UNKNOWN_LENGTH: Final = 1024
_SPOILT: Final = 0.1
_MOST_FAILED: Final = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """Which server, what is known of it, and what may be asked of it."""

    target: Target
    adapters: Mapping[str, str]  # the server's name -> its path there ("": not told)
    shape: ModelShape
    limits: EngineLimits
    device: Device
    bounds: Bounds
    tensor_parallel: int = 1
    longest_tokens: int | None = None  # of a prompt; None: what the server tells, 4096 at most
    churn: bool = False
    seed: int = 0
    command: str = ""


def calibrate_endpoint(wish: Wish, progress: Progress | None = None) -> tuple[Profile, Findings]:
    """Measure a server from outside, and fit what the simulator needs.

    Args:
        wish: see there.
        progress: told the share done and what is being done.

    Raises:
        InputError: a URL, key, model or adapter that cannot be.
        MeasurementError: the server cannot be reached, refuses, does not stream, or too little was measured.
    """
    tell = progress or (lambda _share, _what: None)
    cost = None if wish.target.kind.token_ids else measured_cost(wish.target)
    findings, server = asyncio.run(_measure(wish, cost, tell))
    tell(0.98, "fitting")
    mark = Mark(
        wish.shape,
        wish.device,
        wish.limits,
        wish.tensor_parallel,
        wish.target,
        server,
        wish.command,
        wish.seed,
    )
    return profile_of(findings, mark, lora=bool(wish.adapters)), findings


async def _measure(wish: Wish, cost: WordCost | None, tell: Progress) -> tuple[Findings, Server]:
    findings = Findings()
    async with Prober(wish.target, wish.bounds) as prober:
        server = await look(prober)
        if wish.target.kind.adapter_field == "model":
            check_names(server, wish.target.url, wish.target.model, tuple(wish.adapters))
        elif wish.target.kind.adapter_field == "lora":
            check_numbers(server, wish.target.url, tuple(wish.adapters))
        check_seats(server, wish.target.url, wish.limits.max_num_seqs)
        longest = _longest(wish, server)
        prompts = Prompts(wish.shape.vocab_size, wish.seed, cost)
        await _first(prober, prompts)
        tell(0.01, "the client's own time")
        overhead = await measure_overhead(wish.target.url, longest)
        sweep = Sweep(
            prober, prompts, tuple(wish.adapters), overhead, wish.limits.max_num_batched_tokens, findings
        )
        beating = asyncio.ensure_future(sweep.beat.run())
        try:
            await _all(wish, sweep, longest, tell)
        except SpentError:
            findings.note("the measurement ended with its budget or number of requests.")
        finally:
            beating.cancel()
        await _remember(sweep, server)
    return findings, server


async def _first(prober: Prober, prompts: Prompts) -> None:
    """What is wrong with a server shows here, before anything else (MeasurementError)."""
    try:
        await prober.ask(prompts.next(SHORT), STEPS)
    except SpentError as spent:
        raise MeasurementError(
            f"{prober.target.url}: {str(spent) or 'no whole answer'} within --budget. Raise it."
        ) from None


async def _all(wish: Wish, sweep: Sweep, longest: int, tell: Progress) -> None:
    """First pass, loads, ramp, then passes in random order until the budget is spent."""
    for _ in range(2):
        await sweep.prober.ask(sweep.prompts.next(SHORT), STEPS)
    await warm_up(sweep)
    todo = probes(wish.limits, longest, wish.bounds.max_concurrency, len(wish.adapters))
    todo = await _first_pass(sweep, todo, tell)
    first = len(sweep.findings.samples)
    tell(_FIRST_PASS, "adapter loads")
    await measure_loads(sweep, wish.limits)
    if wish.churn:
        await churn(sweep, wish.adapters)
    tell(_FIRST_PASS, "saturation ramp")
    await saturate(sweep, wish.limits, longest)
    order = np.random.default_rng(wish.seed)
    for turn in range(1, _MOST_PASSES):
        if turn == _WARM_PASSES:
            del sweep.findings.samples[:first]
        for place in order.permutation(len(todo)):
            await _forgiving(sweep, todo[place])
            spent = sweep.prober.spent_s / sweep.prober.bounds.budget_s
            tell(min(0.97, spent), f"pass {turn + 1}: {todo[place].kind}")


async def _forgiving(sweep: Sweep, probe: Probe) -> None:
    """A few failures after the first pass are left out and noted (MeasurementError: too many)."""
    facts = sweep.findings.facts
    try:
        await sweep.probe(probe)
    except MeasurementError as error:
        facts["failed"] = facts.get("failed", 0) + 1
        if facts["failed"] > _MOST_FAILED:
            raise
        sweep.findings.note(f"left out: {error}")


async def _first_pass(sweep: Sweep, todo: list[Probe], tell: Progress) -> list[Probe]:
    """Cheap ones first; what would take too much of the budget is left out, and said. Returns the others."""
    rates: dict[str, float] = {}  # seconds a token of work, by kind of the last probe
    kept, dear = [], []
    budget_s = sweep.prober.bounds.budget_s
    for probe in todo:
        left_s = _FIRST_PASS * budget_s - sweep.prober.spent_s
        if rates.get(probe.kind, 0.0) * probe.work_tokens > _DEAR * left_s:
            dear.append(probe)
            continue
        began_s = sweep.prober.spent_s
        await sweep.probe(probe)
        rates[probe.kind] = (sweep.prober.spent_s - began_s) / probe.work_tokens
        kept.append(probe)
        tell(min(_FIRST_PASS, sweep.prober.spent_s / budget_s), f"pass 1: {probe.kind}")
    if dear:
        sweep.findings.note(
            f"--budget was too short for {len(dear)} of {len(todo)} kinds of probes, of up to "
            f"{max(probe.prompt_tokens for probe in dear)} prompt tokens and "
            f"{max(probe.streams for probe in dear)} streams; what was not seen is extrapolated."
        )
    return kept


def _longest(wish: Wish, server: Server) -> int:
    """Longest prompt to send: room for the answers is left (InputError: the server's limit is below)."""
    room = STEPS * 4 + SHORT
    most = server.longest_tokens
    if wish.longest_tokens is not None:
        if most is not None and wish.longest_tokens + room > most:
            raise InputError(
                f"--longest-prompt is {wish.longest_tokens}; allowed: at most {max(most - room, 1)}, as the "
                f"server takes {most} tokens and answers need {room}."
            )
        return wish.longest_tokens
    if most is None:
        return _UNKNOWN_LENGTH
    if most - room < SHORT:
        raise MeasurementError(
            f"{wish.target.url}: takes requests of {most} tokens; {room + SHORT} are needed."
        )
    return min(most - room, _LONGEST)


async def _remember(sweep: Sweep, server: Server) -> None:
    """What the run as a whole says."""
    prober, facts, overhead = sweep.prober, sweep.findings.facts, sweep.overhead
    facts |= {
        "requests": prober.sent,
        "spent_s": round(prober.spent_s, 3),
        "client_s": overhead.client_s,
        "client_prompt_token_s": overhead.per_prompt_token_s,
        "network_s": overhead.network_s,
        "retries": prober.waits.times,
        "closed": prober.closed,
        "kv_tokens": server.kv_tokens,
    }
    spoilt, kept = facts.get("spoilt", 0), len(sweep.findings.samples)
    if spoilt > _SPOILT * (spoilt + kept):
        sweep.findings.note(
            f"THE CLIENT WAS LATE: {spoilt} of {spoilt + kept} figures were left out, because this process "
            "was held up while they were taken. Measure from an idle machine."
        )
    if failed := facts.get("failed", 0):
        sweep.findings.note(f"probes that failed and are in no figure: {failed}.")
    if prober.closed:
        sweep.findings.note(
            f"requests sent again, as the server had closed the connection before an answer: {prober.closed}."
        )
    now = await counts(sweep)
    if now is not None:
        facts["server"] = now.values
    if prober.waits.times:
        sweep.findings.note(
            f"RATE-LIMITED: the server refused {prober.waits.times} requests with 429 or 503 and "
            f"{prober.waits.seconds:.0f} s were waited as it asked; figures under many streams may be those "
            "of the limit, not of the engine."
        )
    if server.running:
        sweep.findings.note(f"the server had {server.running} requests of others when the measurement began.")
