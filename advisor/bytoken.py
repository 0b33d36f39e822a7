"""The same traffic bought by the token: a part of the recommendation."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.spec import Spec


class TokenOffer(Spec):
    """A provider's price for tokens of the base model, at the load that was asked for."""

    provider: str = Field(description="'own': from prices.serverless_usd_per_mtok of the scenario.")
    usd_per_mtok_input: float
    usd_per_mtok_output: float
    usd_per_hour: float = Field(description="At the asked load, every hour like it.")
    equal_rps: float | None = Field(
        description="Mean load at which the recommended deployment costs as much; below it tokens are the "
        "cheaper. Null: nothing is recommended, or tokens cost nothing."
    )
    adapters: str = Field(description="What the provider says about adapters at this price.")
    source: str
    date: str
