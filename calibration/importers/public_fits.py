"""Fits of public end-to-end runs into the figures that `carried.json` ships.

Host: vLLM 0.12's serial loop, Qwen3-32B in bfloat16 on H100 at tensor parallel 2, 4, 8 (published closed-loop
points): what TPOT holds beyond the device terms. Engines that schedule asynchronously (vLLM's default since
0.14; the points of Llama-3.1-70B in fp8 of autumn 2025 show no growth with the sequences either) hide the
host behind the device: epsilon is what their TPOT holds beyond the device terms, on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.profile import ModelTerms, Profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from calibration.fit import Fit, fit_non_negative
from calibration.importers.csvrows import csv_rows
from calibration.importers.published import Point, terms_of
from calibration.steady import Steady, steady_state

_TICKS = "vllm_requests_RTXPRO6000_Llama-3.1-8B_timeseries.csv"
_REQUESTS = "vllm_requests_RTXPRO6000_Llama-3.1-8B.csv.gz"


@dataclass(frozen=True, slots=True)
class Tick:
    """One second of a server: rates, running sequences, their context."""

    running: int
    context_tokens: int
    output_tokens_per_s: float
    prompt_tokens_per_s: float


def predicted(profile: Profile, point: Point) -> Steady | None:
    """What the profile says of a point; None where it lacks the model."""
    terms = terms_of(profile, point)
    if terms is None:
        return None
    return steady_state(
        profile,
        terms,
        concurrency=point.concurrency,
        prompt_tokens=point.prompt_tokens,
        output_tokens=point.output_tokens,
    )


def fit_host(profile: Profile, points: list[Point]) -> Fit:
    """Fit fixed + per_sequence · S to what TPOT of a serial engine holds beyond the device terms.

    Only bfloat16 points whose outputs are long against their prompts: there TPOT is nearly a decode step.
    """
    rows = [row for row in _beyond(profile, points, precision="bfloat16") if row[1] > 0]
    sequences = np.asarray([float(row[0]) for row in rows])
    beyond = np.asarray([row[1] for row in rows])
    return fit_non_negative({"fixed": np.ones_like(sequences), "sequence": sequences}, beyond, resamples=200)


def epsilon_s(profile: Profile, points: list[Point]) -> float:
    """Median of what TPOT of an asynchronous engine (the fp8 points) holds beyond the device terms."""
    rows = _beyond(profile, points, precision="fp8")
    return max(float(np.median([row[1] for row in rows])), 0.0)


def _beyond(profile: Profile, points: list[Point], *, precision: str) -> list[tuple[int, float]]:
    """(sequences, measured less predicted seconds) of points with long outputs; without host time."""
    rows = []
    for point in points:
        steady = predicted(profile, point)
        if steady is None or point.precision != precision or point.output_tokens < point.prompt_tokens / 2:
            continue
        rows.append((point.concurrency, point.tpot_s - steady.tpot_s))
    return rows


def read_ticks(folder: Path) -> list[Tick]:
    """Seconds of the RTX PRO 6000 run in which requests waited, so that the engine never idled.

    The context is that of the requests between their first and last token, half a second before the tick.

    Raises:
        InputError: a file or column is missing, or no second has waiting requests.
    """
    requests = [
        tuple(row.number(name) for name in ("first_token_s", "last_token_s", "input_tokens", "output_tokens"))
        for row in csv_rows(
            folder / _REQUESTS, ("first_token_s", "last_token_s", "input_tokens", "output_tokens")
        )
    ]
    columns = ("t", "running", "waiting", "gen_throughput", "prompt_throughput")
    ticks = []
    for row in csv_rows(folder / _TICKS, columns):
        if row.number("waiting") < 1 or row.number("running") < 100:
            continue
        moment = row.number("t") - 0.5
        running = [r for r in requests if r[0] <= moment < r[1]]
        context = math.fsum(r[2] + r[3] * (moment - r[0]) / (r[1] - r[0]) for r in running)
        ticks.append(
            Tick(
                row.whole("running"),
                round(context),
                row.number("gen_throughput"),
                row.number("prompt_throughput"),
            )
        )
    if not ticks:
        raise InputError(f"{_TICKS}: has no second with waiting requests; allowed: the file as published.")
    return ticks


def busy_shares(profile: Profile, terms: ModelTerms, ticks: list[Tick], *, chunk: int = 857) -> list[float]:
    """Predicted seconds of each measured second: decode steps, and prompt tokens in mean chunks.

    1 would be a perfect prediction; below, the engine did less than predicted, so steps took longer.
    """
    clock = ProfileClock(profile, terms, EngineLimits(max_num_seqs=256, max_num_batched_tokens=2048))
    shares = []
    for tick in ticks:
        count = tick.running
        decode = clock.parts(Batch(count, tick.context_tokens, outputs=count)).total
        mixed = clock.parts(Batch(count, tick.context_tokens, ((chunk, 0),), count + 1)).total
        shares.append(
            tick.output_tokens_per_s / count * decode + tick.prompt_tokens_per_s * (mixed - decode) / chunk
        )
    return shares
