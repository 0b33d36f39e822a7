"""What an experiment returns."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from advisor.spec.spec import Spec

Verdict = Literal["holds", "holds within limits", "does not hold here"]


class Row(Spec):
    """One setting: simulated beside measured."""

    setting: str
    figure: str = Field(description="What is compared, with its unit.")
    simulated: float
    measured: float
    spread: float = Field(0.0, description="Half the range of the repeats over their mean.")
    ratio: float | None = Field(None, description="Measured, to the setting that it is compared with.")
    simulated_ratio: float | None = None

    @property
    def error(self) -> float:
        """Simulated over measured, less one."""
        return self.simulated / self.measured - 1.0 if self.measured else 0.0


class ClaimResult(Spec):
    """One claim, tried."""

    number: str
    claim: str
    rows: tuple[Row, ...]
    verdict: Verdict
    why: str = Field(description="The figures that decide.")
    stops: str = Field(description="Where the claim stops being true here.")


class Claims(Spec):
    """All of them."""

    schema_version: Literal[1] = 1
    created: AwareDatetime
    producer: str
    device: str
    model: str
    environment: dict[str, str]
    claims: tuple[ClaimResult, ...]
