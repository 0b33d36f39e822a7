"""The base of everything that a user may write, and the words that several nouns share."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Closed, frozen, no silent conversion, no NaN. Read it through `advisor.errors.validated`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Origin(StrEnum):
    """Where a figure comes from, best first. Arithmetic of figures keeps the worst."""

    MEASURED = "measured"  # on this device and engine, by us or by the named public source
    FITTED = "fitted"  # parameters of an equation, fitted to measurements of this device and engine
    EXTRAPOLATED = "extrapolated"  # measured elsewhere or outside the measured range, carried over
    ESTIMATED = "estimated"  # computed from other measurements by a stated rule
    DATASHEET = "datasheet"  # vendor peaks times a typical efficiency

    @property
    def badness(self) -> int:
        """0 for measured, rising; the worst of several origins is the one with the largest."""
        return list(Origin).index(self)


def worst(*origins: Origin) -> Origin:
    """Return the least certain of the origins given (at least one)."""
    return max(origins, key=lambda origin: origin.badness)


class WeightsDtype(StrEnum):
    """Storage type of the base model's linear weights."""

    BFLOAT16 = "bfloat16"
    FP8 = "fp8"

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of one stored parameter (block scales left out)."""
        return {"bfloat16": 2.0, "fp8": 1.0}[self.value]
