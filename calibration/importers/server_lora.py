"""Unmerged adapters on the public multi-LoRA server: slots, tokens and distinct adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.fit import Fit, fit_non_negative
from calibration.importers.server_files import Run
from calibration.importers.server_step import BaseFit

SEATS = 256
"""max_num_seqs of vLLM's API server on a GPU below 70 GiB; saturated runs hold 247 on average."""


@dataclass(frozen=True, slots=True)
class LoraFit:
    """What slots and adapters add; `step_residuals` are relative to the whole step."""

    per_slot_s: float
    per_slot_token_s: float
    per_slot_prompt_token_s: float
    per_adapter_s: float
    fixed_s: float
    fit: Fit
    step_residuals: tuple[float, ...]


def fit_lora(runs: list[Run], base: BaseFit) -> LoraFit:
    """Fit slots and adapters from three families at once, each family counting the same.

    One sequence, slots varied; a full decode batch with 300 slots, adapters varied; saturated runs with
    prompts in every step. Errors count relative to the whole step. The engine without adapters was measured
    from 50 sequences on: one sequence takes the line through 50 and 100.
    """
    rows = [*_slot_rows(runs, base), *_adapter_rows(runs, base), *_saturated_rows(runs, base)]
    families = [row[0] for row in rows]
    seconds = np.asarray([row[2] for row in rows])
    steps = np.asarray([row[3] for row in rows])
    weights = np.asarray([1.0 / families.count(family) for family in families]) * (seconds / steps) ** 2
    names = ("fixed", "slot", "slot_token", "slot_prompt_token", "adapter")
    columns = {name: np.asarray([row[1][index] for row in rows]) for index, name in enumerate(names)}
    fit = fit_non_negative(columns, seconds, weights=weights, resamples=200)
    return LoraFit(
        per_slot_s=fit.values["slot"],
        per_slot_token_s=fit.values["slot_token"],
        per_slot_prompt_token_s=fit.values["slot_prompt_token"],
        per_adapter_s=fit.values["adapter"],
        fixed_s=fit.values["fixed"],
        fit=fit,
        step_residuals=tuple((np.asarray(fit.relative_residuals) * seconds / steps).tolist()),
    )


_Row = tuple[str, tuple[float, ...], float, float]
"""Family, factors of the coefficients, seconds beyond the engine without adapters, seconds of the step."""


def _slot_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """One sequence, no prompt in the step."""
    rows: list[_Row] = []
    for run in runs:
        if run.experiment.startswith("find_available") and run.tpot_s > 0:
            context = run.prompt_tokens + 0.5 * run.output_tokens
            slots = float(run.numbers[0])
            seconds = run.tpot_s - base.seconds(1.0, 1.0) - base.per_context_token_s * context
            if seconds > 0:
                rows.append(("slots", (1.0, slots, slots, 0.0, 1.0), seconds, run.tpot_s))
    return rows


def _adapter_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """A full decode batch; its prompts are a few tokens."""
    rows: list[_Row] = []
    for run in runs:
        if run.kind.startswith("overhead_small"):
            batch, slots, adapters = float(run.numbers[0]), float(run.numbers[1]), run.numbers[-1]
            context = batch * (run.prompt_tokens + 0.5 * run.output_tokens)
            seconds = run.tpot_s - base.seconds(batch, batch) - base.per_context_token_s * context
            rows.append(
                ("adapters", (1.0, slots, slots * batch, 0.0, distinct(adapters, batch)), seconds, run.tpot_s)
            )
    return rows


def _saturated_rows(runs: list[Run], base: BaseFit) -> list[_Row]:
    """Mean step of a saturated run: every seat busy, prompts arriving as fast as requests finish."""
    rows: list[_Row] = []
    for run in runs:
        if not run.kind.startswith("find_max_batch"):
            continue
        slots = float(run.numbers[0])
        steps = run.requests * run.output_tokens / SEATS
        chunks = SEATS / run.output_tokens
        prompts = chunks * run.prompt_tokens
        context = SEATS * (run.prompt_tokens + 0.5 * run.output_tokens)
        known = (
            base.seconds(SEATS + prompts, SEATS)
            + base.per_context_token_s * context
            + base.per_chunk_s * chunks
        )
        adapters = distinct(int(slots), SEATS)
        factors = (1.0, slots, slots * (SEATS + prompts), slots * prompts, adapters)
        step = run.duration_s / steps
        rows.append(("saturated", factors, step - known, step))
    return rows


def distinct(adapters: int, batch: float) -> float:
    """Expected distinct adapters among `batch` sequences that pick one of `adapters` evenly."""
    return adapters * (1.0 - math.pow(1.0 - 1.0 / adapters, batch))
