"""Which cells hold, what the noise floor is, and whether the choice was right."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from pydantic import Field

from advisor.spec.spec import Spec
from calibration.validate.compare import Figures, errors

LIMITS: Final = {"p50": 0.05, "p90": 0.10, "p99": 0.10, "throughput": 0.03, "length": 0.05, "loads": 0.10}
"""Largest allowed relative error below 85 % utilisation: design.md section 7."""
NOISE_FACTOR: Final = 1.5
MOST_UTILISATION: Final = 0.85
MOST_REGRET: Final = 0.05


class Cell(Spec):
    """One figure of one option: predicted beside measured."""

    name: str = Field(description="Such as ttft p50.")
    error: float = Field(description="Predicted over the median of the replays, less one.")
    noise: float = Field(description="The same between two replays, mean over pairs, absolute.")
    allowed: float = Field(description="The larger of the limit and 1.5 times the noise.")

    @property
    def holds(self) -> bool:
        """Whether the error is within what is allowed."""
        return abs(self.error) <= self.allowed


def noise_floor(replays: list[Figures]) -> dict[str, float]:
    """Mean absolute relative difference of each cell between pairs of replays; 0 with one replay."""
    pairs = [errors(left, right) for left, right in combinations(replays, 2)]
    if not pairs:
        return {}
    return {
        name: float(np.mean([abs(pair[name]) for pair in pairs if name in pair]))
        for name in pairs[0]
        if all(name in pair for pair in pairs)
    }


def cells_of(predicted: Figures, measured: Figures, replays: list[Figures]) -> tuple[Cell, ...]:
    """All cells of one option."""
    noise = noise_floor(replays)
    return tuple(
        Cell(
            name=name,
            error=error,
            noise=noise.get(name, 0.0),
            allowed=max(LIMITS[name.split()[-1]], NOISE_FACTOR * noise.get(name, 0.0)),
        )
        for name, error in errors(predicted, measured).items()
    )


class Decision(Spec):
    """Options of one scenario, ranked by prediction and by measurement."""

    objective: str = Field(description="The figure that is to be small.")
    predicted_s: dict[str, float] = Field(description="Option -> value.")
    measured_s: dict[str, float] = Field(description="Option -> median of the replays.")
    chosen: str = Field(description="Best by prediction.")
    best: str = Field(description="Best by measurement.")
    regret: float = Field(description="Measured value of the chosen one over the best one's, less one.")
    told_apart: bool = Field(
        True, description="Whether every round of replays has the best one ahead of the chosen one."
    )

    @property
    def right(self) -> bool:
        """The same first choice, or one not told from it by measurement: within 1 %, or ahead once."""
        return self.chosen == self.best or self.regret <= 0.01 or not self.told_apart


def decide(predicted: dict[str, float], replays: dict[str, list[float]], objective: str) -> Decision:
    """Rank options (name -> value, and values of the replays by round; smaller is better) both ways."""
    measured = {name: float(np.median(values)) for name, values in replays.items()}
    chosen, best = min(predicted, key=predicted.__getitem__), min(measured, key=measured.__getitem__)
    regret = measured[chosen] / measured[best] - 1.0 if measured[best] > 0 else 0.0
    return Decision(
        objective=objective,
        predicted_s=predicted,
        measured_s=measured,
        chosen=chosen,
        best=best,
        regret=regret,
        told_apart=all(b < c for b, c in zip(replays[best], replays[chosen], strict=True)),
    )
