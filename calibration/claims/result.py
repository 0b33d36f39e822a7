"""What an experiment returns: rows of simulated beside measured, a verdict, where the claim stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, Field

from advisor.spec.spec import Spec

Verdict = Literal["holds", "holds within limits", "does not hold here"]


class Row(Spec):
    """One figure at one setting: what the simulator says, and what several repeats measured."""

    setting: str = Field(min_length=1)
    figure: str = Field(min_length=1, description="Such as `TTFT, base`.")
    unit: str = Field("", description="Empty: a ratio.")
    simulated: float
    measured: float = Field(description="Median of the repeats.")
    low: float = Field(description="Lowest repeat.")
    high: float = Field(description="Highest repeat.")
    repeats: int = Field(ge=1)
    ratio: float | None = Field(
        description="Simulated over measured; null where nothing was measured above 0."
    )
    x: float | None = Field(None, description="Place on the chart's axis; null: the setting's name.")
    judged: bool = Field(False, description="The verdict looks at it.")

    def simulated_alone(self) -> Row:
        """The same row as if the simulation had been measured: to judge it by the same rule."""
        said = self.simulated
        return self.model_copy(update={"measured": said, "low": said, "high": said})


def row(
    setting: str,
    figure: str,
    simulated: float,
    measured: Sequence[float],
    *,
    unit: str = "",
    x: float | None = None,
    judged: bool = False,
) -> Row:
    """A row from the repeats' values."""
    middle = float(np.median(measured))
    return Row(
        setting=setting,
        figure=figure,
        unit=unit,
        simulated=float(simulated),
        measured=middle,
        low=float(min(measured)),
        high=float(max(measured)),
        repeats=len(measured),
        ratio=float(simulated) / middle if middle > 0 else None,
        x=x,
        judged=judged,
    )


class Finding(Spec):
    """What one judged figure says of the claim: yes, no, or open where noise hides it."""

    says: Literal["yes", "no", "open"]
    of: str = Field(description="What was asked, such as `TTFT ratio above 1 at 15 % load`.")


class Outcome(Spec):
    """What an experiment hands over."""

    rows: tuple[Row, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = Field(min_length=1, description="Of the measured rows.")
    simulated_findings: tuple[Finding, ...] = Field(min_length=1, description="By the same rule.")
    verdict: Verdict
    simulated_verdict: Verdict
    why: str = Field(description="The figures that decide, in a sentence.")
    where_it_stops: str = Field(description="In a sentence with numbers.")
    x_title: str = Field("", description="Of the chart's axis.")


class ClaimResult(Spec):
    """One claim, tried. Version 1 of the file format."""

    schema_version: Literal[1] = 1
    claim: str = Field(description="C1 to C9.")
    statement: str
    outcome: Outcome
    created: AwareDatetime
    producer: str
    made_from: dict[str, str] = Field(description="Model, device, profile, repeats, budget, seed, versions.")
