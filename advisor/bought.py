"""An option bought by the token, and what was assumed to simulate it: a part of the recommendation."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.spec import Spec


class Bought(Spec):
    """A provider's offer. Its price is known, its latency is not: the figures are those of a stand-in."""

    provider: str
    usd_per_mtok_input: float
    usd_per_mtok_output: float
    adapters: str = Field(description="What the provider says about adapters at this price.")
    stand_in: str = Field(description="Device and engine that stand for the provider's.")
    replicas: int = Field(description="Of the stand-in, shared with other tenants.")
    others_rps: float = Field(description="Other tenants' requests a second over all of them.")
    cold_start_s: float
    cold_starts: int = Field(description="How often an adapter had been unloaded when it was asked for.")
    cold_share: float = Field(description="Share of the requests that waited for that.")
    ttft_parts_s: dict[str, float] = Field(
        {},
        description="Mean TTFT alone and warm, what cold starts add, what other tenants add.",
    )
    tpot_parts_s: dict[str, float] = Field({}, description="The same of the mean TPOT.")
    assumption: str = Field(description="What the latency rests on, in a sentence.")
