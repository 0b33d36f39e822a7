"""What reserved slots cost the public multi-LoRA server: the thread blocks that its kernels launch for them.

The grids of this vLLM's shrink and expand kernels hold blocks for every slot, used or not; their number
follows from the kernels' source (`advisor.steptime.lora.lora_blocks`). Two constants remain, seconds a block
of each kernel. They come from an engine without adapters in the step (one request, 8 to 384 slots, ranks 8,
16 and 32) and from full decode batches that all use one adapter (300 slots, more than 128 tokens).

How adapters grow with rank comes from decode batches of 64 at three ranks (server_ranks.csv beside this
file): what the client printed at the end of the logs under digital_twin_dynamic/estimators/
predictor_latency_overhead/<model>/overhead/<kind>/ of the same repository (column `log` names each; text of
commit 1a7f7017d48d, Apache-2.0), which the data's own table lacks. Kind output: every run of 64 sequences
and 100 answer tokens. Kind input: four prompt-only runs, which are not fitted but predicted in a test.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from advisor.spec.model import ALL_LINEAR, ModelShape
from advisor.steptime.lora import blocks_per_slot
from calibration.fit import Fit, fit_non_negative
from calibration.importers.server_files import Run
from calibration.importers.server_lora import distinct
from calibration.importers.server_step import BaseFit

TILE_RANK = 16
"""Smallest tile of a Triton product: ranks below cost the same (8 and 16 do, slot for slot)."""


@dataclass(frozen=True, slots=True)
class BlockFit:
    """Seconds. `enabled_s`: a step of a LoRA engine, whatever it holds; residuals relative to whole steps."""

    shape: ModelShape
    enabled_s: float
    shrink_block_s: float
    expand_block_s: float
    fit: Fit
    step_residuals: tuple[float, ...]

    def seconds(self, tokens: int, slots: int, rank: int) -> float:
        """Of the blocks of all slots in a step of so many tokens."""
        shrink, expand = blocks_per_slot(self.shape, ALL_LINEAR, rank, tokens)
        return (slots + 1) * (shrink * self.shrink_block_s + expand * self.expand_block_s)


@dataclass(frozen=True, slots=True)
class RankRun:
    """A run at one rank: decode batches (`tpot_s`), or prompts one after the other (zero there)."""

    batch: int
    slots: int
    rank: int
    adapters: int
    requests: int
    prompt_tokens: float
    answer_tokens: float
    duration_s: float
    tpot_s: float

    @property
    def context_tokens(self) -> float:
        """Mean context of a sequence while it decodes."""
        return self.prompt_tokens + 0.5 * self.answer_tokens


def fit_blocks(runs: list[Run], base: BaseFit, shape: ModelShape, per_adapter_s: float) -> BlockFit:
    """Fit seconds a block from both families, each counting the same, errors relative to the whole step.

    Args:
        runs: of one model.
        base: its engine without adapters.
        shape: its sizes.
        per_adapter_s: a distinct adapter in a full batch, from `server_lora`.
    """
    rows: list[tuple[str, float, float, float, float]] = []
    for run in runs:
        middle = run.prompt_tokens + 0.5 * run.output_tokens
        idle = run.experiment.startswith("find_available") and run.tpot_s > 0
        if not idle and not (run.kind.startswith("overhead_small") and run.numbers[-1] == 1):
            continue
        tokens, (slots, rank) = (1, run.numbers[:2]) if idle else (run.numbers[0], run.numbers[1:3])
        known = base.seconds(tokens, tokens) + base.per_context_token_s * tokens * middle
        known += 0.0 if idle else per_adapter_s
        shrink, expand = blocks_per_slot(shape, ALL_LINEAR, rank, tokens)
        family = "idle" if idle else "one adapter"
        rows.append((family, (slots + 1.0) * shrink, (slots + 1.0) * expand, run.tpot_s - known, run.tpot_s))
    rows = [row for row in rows if row[3] > 0]
    families = [row[0] for row in rows]
    shrinks, expands, beyond, steps = np.asarray([row[1:] for row in rows]).T
    weights = np.asarray([1.0 / families.count(family) for family in families]) * (beyond / steps) ** 2
    columns = {"enabled": np.ones_like(beyond), "shrink": shrinks, "expand": expands}
    fit = fit_non_negative(columns, beyond, weights=weights, resamples=100)
    return BlockFit(
        shape=shape,
        enabled_s=fit.values["enabled"],
        shrink_block_s=fit.values["shrink"],
        expand_block_s=fit.values["expand"],
        fit=fit,
        step_residuals=tuple((np.asarray(fit.relative_residuals) * beyond / steps).tolist()),
    )


def rank_growth(runs: list[RankRun], base: BaseFit, blocks: BlockFit, cached_s: float) -> float:
    """By how much an adapter costs more for each tile of rank beyond the first, below 128 tokens.

    step - known = f + A · (a + growth · (tiles - 1)), with A · slots · cached_s known: all are in the cache.
    """
    known = [
        base.seconds(run.batch, run.batch)
        + base.per_context_token_s * run.batch * run.context_tokens
        + blocks.seconds(run.batch, run.slots, run.rank)
        + distinct(run.adapters, run.batch) * run.slots * cached_s
        for run in runs
    ]
    steps = np.asarray([run.tpot_s for run in runs])
    held = np.asarray([distinct(run.adapters, run.batch) for run in runs])
    more = np.asarray([-(-run.rank // TILE_RANK) - 1.0 for run in runs])
    beyond = steps - np.asarray(known)
    fit = fit_non_negative(
        {"fixed": np.ones_like(held), "adapter": held, "growth": held * more},
        beyond,
        weights=(beyond / steps) ** 2,
    )
    return fit.values["growth"] / fit.values["adapter"]


def read_ranks(model: str, kind: str) -> list[RankRun]:
    """Runs of one model (its name in the files); kind: output (decodes) or input (prompts)."""
    text = files("calibration.importers").joinpath("server_ranks.csv").read_text(encoding="utf-8")
    return [
        RankRun(
            batch=int(row["batch"]),
            slots=int(row["slots"]),
            rank=int(row["rank"]),
            adapters=int(row["adapters"]),
            requests=int(row["requests"]),
            prompt_tokens=float(row["prompt_tokens"]),
            answer_tokens=float(row["answer_tokens"]),
            duration_s=float(row["duration_s"]),
            tpot_s=1e-3 * float(row["tpot_ms"] or 0.0),
        )
        for row in csv.DictReader(io.StringIO(text))
        if (row["model"], row["kind"]) == (model, kind)
    ]
