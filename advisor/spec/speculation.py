"""Speculative decoding as a user may allow it: which drafts, how long, and how often they are accepted."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from advisor.spec.spec import Origin, Spec

Share = Annotated[float, Field(ge=0, le=1)]
HOURS_PER_MONTH: Final = 8766.0 / 12.0
"""Of a mean year of 365.25 days."""


class Acceptance(Spec):
    """Marginal acceptance by position: P(at least i drafts accepted), i = 1, 2, ..."""

    marginals: tuple[Share, ...] = Field(
        min_length=1,
        max_length=64,
        description="Falling, such as [0.69, 0.44, 0.28]: first draft accepted, first two, ...",
    )
    origin: Origin = Field(Origin.ESTIMATED, description="Write measured if you measured it.")
    source: str = Field("", description="Where the figures come from.")

    @model_validator(mode="after")
    def _fall(self) -> Acceptance:
        if any(b > a for a, b in zip(self.marginals, self.marginals[1:], strict=False)):
            raise ValueError(
                "marginals must not rise with the position: they are P(at least i drafts accepted)"
            )
        return self

    def tokens_per_step(self, draft_length: int) -> float:
        """Expected tokens of a verify step, τ = 1 + Σ a_i (positions beyond the table: none accepted)."""
        return 1.0 + math.fsum(self.marginals[:draft_length])


class Training(Spec):
    """What it costs to train a draft of one's own, spread evenly over the time in which it serves."""

    usd: float = Field(ge=0, le=1e9, description="For the whole training: devices, data, people.")
    months: float = Field(
        gt=0, le=120, description="Until it is trained anew: the fine-tunes, or the base, change."
    )

    @property
    def usd_per_hour(self) -> float:
        """Over calendar hours, busy or not, as the devices are paid."""
        return self.usd / (self.months * HOURS_PER_MONTH)


class Draft(Spec):
    """A way to draft tokens, with its acceptance for the base and for the adapters."""

    method: Literal["ngram", "draft_model", "eagle3"] = Field(
        description="ngram copies from the prompt, draft_model runs a small model, eagle3 a trained head."
    )
    task: Literal["chat", "summarization", "math", "code-edit"] = Field(
        "chat",
        description="Kind of text that the published acceptance is taken from, where yours was not measured.",
    )
    model: str | None = Field(None, description="Catalog name of the draft model; for method draft_model.")
    base_acceptance: Acceptance | None = Field(
        None, description="Measured for the base; a published default if empty."
    )
    adapter_acceptance: Acceptance | None = Field(None, description="Measured for your fine-tunes.")
    acceptance_by_adapter: dict[str, Acceptance] = Field(
        {}, description="Measured for single adapters, by name; the others have adapter_acceptance."
    )
    adapter_shift: Literal["light", "domain", "heavy"] = Field(
        "domain",
        description="How far the fine-tunes are from the base, where adapter_acceptance was not measured.",
    )
    custom: bool = Field(
        False, description="A draft trained for the fine-tunes: keeps the base's acceptance."
    )
    training: Training | None = Field(
        None, description="Of a custom draft: what it costs, added to the price of what uses it."
    )

    @model_validator(mode="after")
    def _training_is_for_custom_drafts(self) -> Draft:
        if self.training is not None and not self.custom:
            raise ValueError(
                "training is given and custom is false; allowed: training of a custom draft. "
                "Write custom: true"
            )
        return self


class Speculation(Spec):
    """Drafts that may be tried, each at these lengths. `drafts: []` turns speculation off."""

    drafts: tuple[Draft, ...] = Field((), description="Drafts that may be tried; none turns speculation off.")
    draft_lengths: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(
        (3,), min_length=1, description="Draft tokens a step (γ), each tried."
    )
    by_batch: bool = Field(
        False,
        description="Also try lengths that change with the batch, none among them, where the engine can.",
    )
