"""What storing merged weights rounds away of an adapter: as measured on it, else as computed for its size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from advisor.catalog.tables import rows
from advisor.spec.mergecheck import LOSSY_ERROR, SAFE_ERROR, MergeCheck
from advisor.spec.spec import Spec, WeightsDtype


class RoundingRow(Spec):
    """Error of a merged weight for a delta of this size. A row of merge_rounding.csv."""

    stored: Literal["bfloat16", "fp8", "int4"] = Field(description="Type of the merged weights.")
    delta_over_weight: float = Field(gt=0, description="Norm of the delta over the weight's, Frobenius.")
    error: float = Field(ge=0, description="Norm of what is lost or added, in norms of the delta.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


def rounding_rows(stored: str) -> tuple[RoundingRow, ...]:
    """The rows of one type, smallest delta first."""
    found = rows("merge_rounding.csv", RoundingRow, lambda row: (row.stored, row.delta_over_weight))
    return tuple(sorted((r for r in found if r.stored == stored), key=lambda row: row.delta_over_weight))


def rounding_words(dtype: WeightsDtype, checks: tuple[MergeCheck, ...]) -> str:
    """What merging into this type loses, in one or two sentences.

    Args:
        dtype: of the weights as they are served.
        checks: of single adapters; the worst counts.
    """
    measured = [(found.error, check) for check in checks if (found := check.of(dtype.value)) is not None]
    if not measured:
        return _computed(dtype.value)
    error, check = max(measured, key=lambda pair: pair[0])
    verdict = "serve it unmerged" if error > LOSSY_ERROR else "compare answers before you ship"
    return (
        f"Merged into {dtype.value} the worst adapter checked ({Path(check.adapter).name:.60}) has an error "
        f"of {error:.0%} of its delta: {'safe' if error <= SAFE_ERROR else verdict}."
    )


def _computed(stored: str) -> str:
    table = rounding_rows(stored)
    small, large = table[0], table[-1]
    safe = "Unmerged is safer until `calibrate merge-check` has looked at the adapters."
    if small.error > 1.0:
        safe = (
            "That drowns a small one: unmerged is safer, or merge into the 16-bit original, then quantise "
            "with calibration data of your domain, and compare on your evaluation."
        )
    return (
        f"Merged into {stored} a delta of {small.delta_over_weight:.1%} of the weight's size has an error of "
        f"{small.error:.0%} of itself, one of {large.delta_over_weight:.0%} has {large.error:.0%} "
        f"(computed). {safe}"
    )
