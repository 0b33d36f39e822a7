"""Speculative decoding over batch size and acceptance, by the step time alone.

Batch B decodes without drafts in one step of t(B) seconds a token, with γ drafts in a verify step of
t(B (γ + 1)) + draft seconds that yields τ tokens. It pays where τ exceeds the ratio of the two steps:

    τ needed(B) = verify step(B) / plain step(B)
    α needed(B): Σ_{i=0..γ} α^i = τ needed(B)          Leviathan et al. 2023, eq. 1

Prompts, which take their share of steps either way, are left out: what pays here pays a little less in a
mixed batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.breakeven.answer import Crossing, DraftCurve, DraftPoint
from advisor.breakeven.crossing import finite, last_above
from advisor.deployment import Drafting, Variant
from advisor.robustness.inputs import Input, doubts_of, factors_of, spread_evenly
from advisor.robustness.interval import interval
from advisor.robustness.scaled import scaled
from advisor.search.batchsteps import acceptance_of, active_adapters, limits_for, steps_s
from advisor.search.question import Question

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DRAWS = 100


@dataclass(frozen=True, slots=True)
class Pair:
    """The same way on the same device without and with drafts."""

    plain: Variant
    drafted: Variant

    @property
    def drafting(self) -> Drafting:
        """Of the second one."""
        assert self.drafted.drafting is not None
        return self.drafted.drafting


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of a plain and of a verify step at each batch size, and what a verify step yields."""

    plain_s: tuple[float, ...]
    verify_s: tuple[float, ...]
    tokens_per_step: float

    @property
    def needed(self) -> tuple[float, ...]:
        """Tokens a verify step at which speculation just pays."""
        return tuple(verify / plain for verify, plain in zip(self.verify_s, self.plain_s, strict=True))

    def pays_up_to(self, batches: Sequence[int]) -> float:
        """Largest batch at which speculation pays; 0: none, infinite: all looked at."""
        margin = [math.log(self.tokens_per_step / needed) for needed in self.needed]
        found = last_above(batches, margin)
        return 0.0 if found is None else found


def draft_curve(question: Question, pair: Pair) -> DraftCurve:
    """The curve of one draft at one length, with intervals over draws of the terms and the acceptance."""
    batches = _batches(question, pair)
    active = active_adapters(question, pair.plain, batches)
    own = steps_in(question, pair, batches, active, {})
    inputs = sorted({d.input for v in (pair.plain, pair.drafted) for d in doubts_of(v).values()})
    z = {one: spread_evenly(one, _DRAWS, question.scenario.seed) for one in inputs}
    worlds = [
        steps_in(question, pair, batches, active, {one: z[one][draw] for one in inputs})
        for draw in range(_DRAWS)
    ]
    drafting = pair.drafting
    points = []
    for index, batch in enumerate(batches):
        low, high = interval([world.needed[index] for world in worlds])
        points.append(
            DraftPoint(
                batch=batch,
                adapters=active[index],
                plain_step_s=own.plain_s[index],
                verify_step_s=own.verify_s[index],
                tokens_needed=own.needed[index],
                tokens_needed_low=low,
                tokens_needed_high=high,
                acceptance_needed=acceptance_for(own.needed[index], drafting.draft_length),
            )
        )
    return DraftCurve(
        draft=drafting.name or drafting.term.method,
        draft_length=drafting.draft_length,
        way=pair.plain.way,
        tokens_per_step=own.tokens_per_step,
        origin=drafting.adapter.origin.value,
        points=tuple(points),
        crossing_batch=_crossing(own, worlds, batches),
    )


def _crossing(own: Steps, worlds: Sequence[Steps], batches: Sequence[int]) -> Crossing:
    at = own.pays_up_to(batches)
    low, high = interval([world.pays_up_to(batches) for world in worlds])
    if at == 0:
        words = "at no batch size"
    elif math.isinf(at):
        words = f"at every batch size up to {batches[-1]}"
    else:
        words = f"up to a batch of {at:.0f}"
    return Crossing(value=finite(at) if at > 0 else None, low=finite(low), high=finite(high), words=words)


def steps_in(
    question: Question,
    pair: Pair,
    batches: Sequence[int],
    active: Sequence[int],
    z: Mapping[Input, float],
) -> Steps:
    """Both steps in one world."""
    plain = scaled(pair.plain, factors_of(pair.plain, z))
    drafted = scaled(pair.drafted, factors_of(pair.drafted, z))
    gamma = pair.drafting.draft_length
    return Steps(
        steps_s(question, plain, batches, active, 0),
        steps_s(question, drafted, batches, active, gamma),
        acceptance_of(drafted).tokens_per_step(gamma),
    )


def acceptance_for(tokens_per_step: float, draft_length: int) -> float | None:
    """The rate α with Σ_{i=0..γ} α^i = τ, by halving; None above γ + 1, 0 below 1."""
    if tokens_per_step > draft_length + 1:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        few = math.fsum(middle**i for i in range(draft_length + 1)) < tokens_per_step
        low, high = (middle, high) if few else (low, middle)
    return high if tokens_per_step > 1 else 0.0


def _batches(question: Question, pair: Pair) -> tuple[int, ...]:
    """Batches that seats and token budget allow with drafts."""
    limits = limits_for(question, pair.drafted)
    most = min(limits.max_num_seqs, limits.max_num_batched_tokens // (pair.drafting.draft_length + 1))
    return tuple(batch for batch in BATCHES if batch <= most)
