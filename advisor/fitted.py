"""What `calibrate show` and `check` print as JSON: measured beside fitted, now beside then. Version 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from advisor.spec.spec import Spec

NonNegative = Annotated[float, Field(ge=0)]


class FittedPoint(Spec):
    """One point of a term: measured alone, and the curve there."""

    term: str = Field(min_length=1, description="dense, head, attention or lora.")
    curve: str = Field(
        description="Which curve of the term: sequences, or adapters × rank; empty: it has one."
    )
    x: NonNegative = Field(description="Tokens, rows or context tokens.")
    measured_s: NonNegative = Field(description="Median of the samples.")
    fitted_s: NonNegative = Field(description="Before the terms are held to the engine's steps.")


class FittedStep(Spec):
    """One step of the engine: measured, and predicted from the profile."""

    kind: str = Field(min_length=1, description="prompts or decodes, with adapters or without.")
    tokens: NonNegative = Field(description="New tokens of the step.")
    seen: bool = Field(description="Whether the terms were held to it; the mixture's steps are in no fit.")
    measured_s: NonNegative
    predicted_s: NonNegative


class Fitted(Spec):
    """Measured beside fitted of one profile."""

    schema_version: Literal[1] = Field(1, description="Version of the format.")
    profile: str = Field(min_length=1, description="The profile's name.")
    points: tuple[FittedPoint, ...]
    steps: tuple[FittedStep, ...]


class DriftRow(Spec):
    """One kind of work measured again."""

    operation: str = Field(min_length=1)
    points: int = Field(ge=1, description="Measured again.")
    ratio: NonNegative = Field(description="Median of now over then.")
    allowed: NonNegative = Field(description="How far from 1 the ratio may be.")

    @property
    def holds(self) -> bool:
        """Whether it takes as long as then."""
        return abs(self.ratio - 1) <= self.allowed


class DriftCheck(Spec):
    """What `calibrate check --json` prints. Version 1."""

    schema_version: Literal[1] = Field(1, description="Version of the format.")
    rows: tuple[DriftRow, ...]
