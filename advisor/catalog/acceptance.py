"""How often drafts are accepted where the user did not measure it: published figures, assumed shifts."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

from pydantic import Field

from advisor.catalog.tables import rows
from advisor.errors import InputError
from advisor.spec.spec import Origin, Spec
from advisor.spec.speculation import Acceptance, Draft

Method = Literal["ngram", "draft_model", "eagle3"]
Task = Literal["chat", "summarization", "math", "code-edit"]
Shift = Literal["light", "domain", "heavy"]
_BLIND: Final = ("ngram",)  # copies from the text itself, so that a fine-tune changes nothing


class AcceptanceRow(Spec):
    """Tokens a verify step at draft lengths 1 to 5 and 7, bonus included. A row of acceptance.csv."""

    method: Method = Field(description="How drafts are made.")
    task: Task = Field(description="Kind of text.")
    dataset: str = Field(min_length=1, description="The prompts.")
    target_model: str = Field(min_length=1, description="The model that was drafted for.")
    tokens_1: float = Field(ge=1, le=2, description="Tokens a step with 1 draft.")
    tokens_2: float = Field(ge=1, le=3, description="Tokens a step with 2 drafts.")
    tokens_3: float = Field(ge=1, le=4, description="Tokens a step with 3 drafts.")
    tokens_4: float = Field(ge=1, le=5, description="Tokens a step with 4 drafts.")
    tokens_5: float = Field(ge=1, le=6, description="Tokens a step with 5 drafts.")
    tokens_7: float = Field(ge=1, le=8, description="Tokens a step with 7 drafts.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)

    @property
    def marginals(self) -> tuple[float, ...]:
        """Increments of the tokens a step: a_γ = τ(γ) - τ(γ - 1): 1 + Σ a_i is the published τ(γ).

        Positions 6 and 7 share the step from 5 to 7. A walk with longer drafts starts at other places, so
        the increments are not exactly P(at least i accepted); the mean at each length is kept exact.
        """
        tokens = (1.0, self.tokens_1, self.tokens_2, self.tokens_3, self.tokens_4, self.tokens_5)
        steps = [round(max(after - before, 0.0), 6) for before, after in pairwise(tokens)]
        half = round(max(self.tokens_7 - self.tokens_5, 0.0) / 2, 6)
        falling: list[float] = []
        for step in (*steps, half, half):
            falling.append(min(step, falling[-1]) if falling else step)
        return tuple(falling)


class ShiftRow(Spec):
    """What a fine-tune leaves of the accepted drafts. A row of adapter_shift.csv."""

    shift: Shift = Field(description="How far the fine-tunes are from the base.")
    factor: float = Field(ge=0, le=1, description="Multiplies τ - 1, the accepted drafts of a step.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


def default_acceptance(method: Method, task: Task = "chat") -> Acceptance:
    """Return a published acceptance for a draft on an unadapted base model.

    Raises:
        InputError: nothing published is in the catalog for this method.
    """
    found = _rows()
    for row in found:
        if (row.method, row.task) == (method, task):
            note = f"{row.target_model} on {row.dataset}: {row.source} ({row.date})"
            return Acceptance(marginals=row.marginals, origin=Origin.EXTRAPOLATED, source=note)
    known = ", ".join(sorted({f"{row.method} on {row.task}" for row in found}))
    raise InputError(
        f"speculation.drafts: no published acceptance for {method} on {task}; known: {known}. "
        f"Measure it and write it as base_acceptance."
    )


def shifted(acceptance: Acceptance, method: Method, shift: Shift) -> Acceptance:
    """Return what an untouched draft keeps on a fine-tuned target. The factors are assumptions."""
    if method in _BLIND:
        return acceptance
    row = {row.shift: row for row in rows("adapter_shift.csv", ShiftRow, lambda row: row.shift)}[shift]
    return Acceptance(
        marginals=tuple(marginal * row.factor for marginal in acceptance.marginals),
        origin=Origin.ESTIMATED,
        source=f"{acceptance.source}; times {row.factor:g} for a {shift} shift ({row.source})",
    )


def acceptance_of(draft: Draft) -> tuple[Acceptance, Acceptance]:
    """Return a draft's acceptance for base and adapters: the user's figures, else the catalog's."""
    base = draft.base_acceptance or default_acceptance(draft.method, draft.task)
    if draft.adapter_acceptance is not None:
        return base, draft.adapter_acceptance
    return base, base if draft.custom else shifted(base, draft.method, draft.adapter_shift)


def _rows() -> tuple[AcceptanceRow, ...]:
    return rows("acceptance.csv", AcceptanceRow, lambda row: (row.method, row.task))
