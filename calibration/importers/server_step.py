"""Step time of the public multi-LoRA server, fitted to its calibration runs.

step = dense(T) + row · (logit rows) + kv · C + start · (new chunks)
+ slots · (s + t · T + p · P) + adapter · A

T tokens of the step, P those of prompts, C total context of the decoding sequences, A distinct adapters
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from calibration.fit import Fit, fit_non_negative
from calibration.importers.server_files import RUNS, Run

Array = NDArray[np.float64]

STEP_TOKENS = 2048
"""max_num_batched_tokens of vLLM's API server on a GPU below 70 GiB (engines.md 5.7)."""
KNOTS = (50, 100, 200, 400, 600, 800, 1000)
_COMPUTE_BOUND = KNOTS.index(400)
"""Knot from which steps grow in proportion to their tokens."""


@dataclass(frozen=True, slots=True)
class BaseFit:
    """The engine without adapters. `tokens` and `dense_s` are dense(T); straight between and beyond."""

    tokens: tuple[float, ...]
    dense_s: tuple[float, ...]
    per_row_s: float
    per_context_token_s: float
    per_chunk_s: float
    prompt_token_s: float
    fit: Fit

    def seconds(self, tokens: float, rows: float) -> float:
        """dense(T) + row · rows."""
        x, y = np.asarray(self.tokens), np.asarray(self.dense_s)
        beyond = max(tokens - self.tokens[-1], 0.0) * self.prompt_token_s
        return float(np.interp(tokens, x, y)) + beyond + self.per_row_s * rows


def fit_base(runs: list[Run], *, kv_capacity_tokens: float, prompt_token_s: float | None = None) -> BaseFit:
    """Fit the engine without adapters.

    Decode runs hold B sequences with a few prompt tokens: TPOT = base(B) + kv · B · (prompt + output / 2),
    base(B) = dense(B) + row · B. Runs whose sequences cannot all lie in the KV cache preempt and are left
    out. What their durations hold beyond the waves of decode steps is the start of each request. A full
    prompt step of prompt-only runs, less its starts, is dense(budget): with base growing by s + row a
    token from 400 on, dense(T) = base(400) - 400 · (s + row) + s · T gives s, and so the row.

    Args:
        runs: of one model.
        kv_capacity_tokens: tokens of the KV cache without adapters.
        prompt_token_s: s, where the files have no prompt-only runs of this model.
    """
    decode = [
        (run, run.numbers[0])
        for run in runs
        if run.kind in ("output", "initial_points_small/output")
        and run.numbers[0] * (run.prompt_tokens + run.output_tokens) < kv_capacity_tokens
    ]
    batch = np.asarray([count for _, count in decode], dtype=np.float64)
    middle = np.asarray([run.prompt_tokens + 0.5 * run.output_tokens for run, _ in decode])
    columns = {f"base_{knot}": _hat(batch, index) for index, knot in enumerate(KNOTS)} | {
        "kv": batch * middle
    }
    fit = fit_non_negative(columns, np.asarray([run.tpot_s for run, _ in decode]), resamples=200)
    knots = [fit.values[f"base_{knot}"] for knot in KNOTS]
    start = float(np.median([_start_s(run, knots, fit.values["kv"]) for run, _ in decode]))
    slope = (knots[-1] - knots[_COMPUTE_BOUND]) / (KNOTS[-1] - KNOTS[_COMPUTE_BOUND])
    origin = knots[_COMPUTE_BOUND] - slope * KNOTS[_COMPUTE_BOUND]
    if prompt_token_s is None:
        prompt_token_s = (_full_prompt_step_s(runs, start) - origin) / STEP_TOKENS
    row = max(slope - prompt_token_s, 0.0)
    dense = [base - row * knot for base, knot in zip(knots, KNOTS, strict=True)]
    one = dense[0] - (dense[1] - dense[0]) / (KNOTS[1] - KNOTS[0]) * (KNOTS[0] - 1)
    return BaseFit(
        tokens=(1.0, *map(float, KNOTS)),
        dense_s=(one, *dense),
        per_row_s=row,
        per_context_token_s=fit.values["kv"],
        per_chunk_s=start,
        prompt_token_s=prompt_token_s,
        fit=fit,
    )


def _start_s(run: Run, knots: list[float], kv_s: float) -> float:
    """Seconds a request beyond its waves: B sequences decode together, finish together, the next B start."""

    def step(tokens: float) -> float:
        return float(np.interp(max(tokens, KNOTS[0]), KNOTS, knots))

    def wave(count: int) -> float:
        context = count * (run.prompt_tokens + 0.5 * run.output_tokens)
        prompts = count * run.prompt_tokens
        return (run.output_tokens - 1) * (step(count) + kv_s * context) + math.ceil(
            prompts / STEP_TOKENS
        ) * step(min(prompts, STEP_TOKENS))

    full, rest = divmod(run.requests, run.numbers[0])
    return (run.duration_s - full * wave(run.numbers[0]) - (wave(rest) if rest else 0.0)) / run.requests


def _full_prompt_step_s(runs: list[Run], start: float) -> float:
    """Median seconds of a step that is full of prompts, the starts of its requests taken off.

    Raises:
        InputError: no prompt-only runs long enough.
    """
    rows = [
        run for run in runs if run.kind == "input" and run.requests * run.prompt_tokens > 10 * STEP_TOKENS
    ]
    if not rows:
        raise InputError(
            f"{RUNS}: has no prompt-only runs of this model; give prompt_token_s of another one."
        )
    steps = [
        (run.duration_s - run.requests * start) / (run.requests * run.prompt_tokens / STEP_TOKENS)
        for run in rows
    ]
    return float(np.median(steps))


def _hat(values: Array, index: int) -> Array:
    """Hat function of a knot: 1 there, 0 at its neighbours, straight between."""
    heights = np.zeros(len(KNOTS))
    heights[index] = 1.0
    return np.asarray(np.interp(values, np.asarray(KNOTS, dtype=np.float64), heights))
