"""Of which engine steps a sample consists, and what stands before each coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.steptime.attention import chunk_work
from calibration.endpoint.samples import Sample

_LAST_KNOT: Final = 512
Floats = NDArray[np.float64]
DENSE: Final = "dense"
SEQUENCE, CONTEXT, PAIR = "sequence", "context token", "prompt attention pair"
WAY, WAY_TOKEN = "request", "prompt token of a request"
LORA, LORA_ADAPTER, LORA_TOKEN, LORA_PROMPT = (
    "LoRA step", "LoRA adapter", "LoRA token", "LoRA prompt token",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One engine step. `tokens` are all new tokens, `prompt` those of a chunk among them."""

    tokens: int
    sequences: int
    context: float = 0.0
    pairs: float = 0.0
    prompt: int = 0
    adapters: int = 0


def steps_of(sample: Sample, budget_tokens: int) -> list[Step]:
    """The steps in a sample's seconds: a prompt longer than the budget takes several."""
    if sample.kind in ("decode", "held_out"):
        n = sample.decodes
        return [Step(n, n, sample.context_tokens, adapters=sample.adapters)]
    found, done = [], 0
    beside, context = sample.decodes, sample.context_tokens
    if sample.kind == "apart":
        found.append(Step(beside, beside, context, adapters=sample.adapters))
        beside, context = 0, 0.0
    while done < sample.prompt_tokens:
        new = min(budget_tokens - beside, sample.prompt_tokens - done)
        found.append(
            Step(
                new + beside,
                1 + beside,
                context,
                chunk_work(float(new), done),
                new,
                sample.adapters,
            )
        )
        done += new
    return found


def knots_of(samples: Sequence[Sample], budget_tokens: int) -> list[int]:
    """Step sizes that are points of the dense curve; 1 is the first, 512 the last that can be.

    Above, dense time is a line: what a long prompt takes beyond it is attention, which could otherwise not
    be told from a dense curve that bends. Points next to one another by less than a third are one.
    """
    whole = [sample for sample in samples if sample.kind not in ("beside", "apart")]
    sizes = {step.tokens for sample in whole for step in steps_of(sample, budget_tokens)}
    found = [1]
    for size in sorted(sizes):
        if 1.3 * found[-1] <= size <= _LAST_KNOT:
            found.append(size)
    return found


def columns_of(samples: Sequence[Sample], knots: Sequence[int], budget_tokens: int) -> dict[str, Floats]:
    """x_i of seconds = Σ c_i · x_i, one value a sample; columns that are zero throughout are left out.

    So is prompt attention where every prompt is a knot: nothing would tell it from dense time.

    Dense time is a rising line through the knots: `dense 1` is the step of one token, `dense k` what the
    steps grow by from the knot before to k.
    """
    rows = [_row(sample, knots, budget_tokens) for sample in samples]
    names = rows[0].keys()
    table = {name: np.array([row[name] for row in rows]) for name in names}
    prompts = {sample.prompt_tokens for sample in samples}
    if max(prompts) <= min(budget_tokens, max(knots)):
        table.pop(PAIR)
    return {name: column for name, column in table.items() if column.any()}


def _row(sample: Sample, knots: Sequence[int], budget_tokens: int) -> dict[str, float]:
    steps = steps_of(sample, budget_tokens)
    row = {f"{DENSE} {knots[0]}": float(len(steps))}
    for low, high in pairwise(knots):
        top = np.inf if high == knots[-1] else 1.0
        row[f"{DENSE} {high}"] = sum(float(np.clip((s.tokens - low) / (high - low), 0.0, top)) for s in steps)
    first = sample.kind == "ttft"
    lora = [step for step in steps if step.adapters]
    return row | {
        SEQUENCE: float(sum(s.sequences for s in steps)),
        CONTEXT: sum(s.context for s in steps),
        PAIR: sum(s.pairs for s in steps),
        WAY: float(first),
        WAY_TOKEN: float(sample.prompt_tokens) if first else 0.0,
        LORA: float(len(lora)),
        LORA_ADAPTER: float(sum(s.adapters for s in lora)),
        LORA_TOKEN: float(sum(s.tokens for s in lora)),
        LORA_PROMPT: float(sum(s.prompt for s in lora)),
    }
