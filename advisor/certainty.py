"""How sure an answer is: a part of the recommendation that is there when it was asked for."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.spec import Origin, Spec


class Spread(Spec):
    """One figure over the draws. Null: it is endless there (no number of replicas holds)."""

    name: str = Field(description="Such as 'USD/h' or 'TTFT p90'; latencies are seconds.")
    estimate: float | None = Field(description="With every input as it is.")
    low: float | None = Field(description="5 % of the draws lie below.")
    high: float | None = Field(description="95 % of the draws lie below.")


class Share(Spec):
    """How often an option is the best of those compared."""

    option: str | None = Field(description="Key of the option; null: none of those compared holds.")
    draws: int


class Tip(Spec):
    """An input by itself, all others as they are: where the choice turns, and how likely that is."""

    input: str
    origin: Origin | None = Field(description="Null for the load and for the requests themselves.")
    interval: tuple[float, float] | None = Field(
        description="Multiplies the input, about 90 % sure; null for the requests themselves."
    )
    below: float | None = Field(description="Multiplier below which the choice turns; null: above 1 in 100.")
    below_option: str | None
    above: float | None = Field(description="Multiplier above which the choice turns; null: below 99 in 100.")
    above_option: str | None
    chance: float = Field(description="Chance that the input lies there.")


class Certainty(Spec):
    """Draws of everything that is uncertain, and in how many of them the choice stands."""

    draws: int
    load_spread: float = Field(description="The load is taken to be off by this share (90 %).")
    stands: int = Field(description="Draws in which the recommended option is still the best.")
    holds: int = Field(description="Draws in which it meets every limit with the replicas that it has.")
    compared: tuple[str, ...] = Field(description="Keys of the options between which it was decided.")
    best: tuple[Share, ...] = Field(description="Which option is best in how many draws, most first.")
    spreads: tuple[Spread, ...] = Field(
        description="USD/h with the replicas that each draw asks for; latencies with those that it has."
    )
    tips: tuple[Tip, ...] = Field(description="By chance to turn the choice, largest first.")
    measure_next: str | None = Field(
        description="The term that is likeliest to turn the choice by itself; null: none does."
    )
    simulations: int
    text: str
