"""Tokens bought from a provider: what is assumed of it, so that its latency can be simulated."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.quantities import Duration, PricePerMtok
from advisor.spec.spec import Spec


class Serverless(Spec):
    """Providers are simulated beside the deployments, on replicas shared with others. All is assumed."""

    price: PricePerMtok | None = Field(
        None,
        description="Of a provider that serves your adapters by the token, prompt and answer alike, beside "
        "those of the catalog; such as 0.2 USD/Mtok.",
    )
    stand_in: str = Field(
        "H100-80-SXM",
        min_length=1,
        description="A device that has a profile; it stands for the provider's, which nobody outside knows.",
    )
    replicas: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Replicas of it that serve you and the others; if left out, so many that your peak and "
        "the others fill them to 85 %.",
    )
    others: float = Field(
        0.5, ge=0, le=0.8, description="Share of their capacity that other tenants' requests take."
    )
    other_adapters: int = Field(
        8, ge=0, le=200, description="Adapters of other tenants; half of the others' requests go to them."
    )
    unload_after: Duration = Field(
        300.0, le=86_400, description="An adapter that nobody asks for is unloaded after this time."
    )
    cold_start: Duration = Field(
        60.0,
        le=3600,
        description="Until an unloaded adapter serves; one provider says 'under 1 min' (lora_offers.csv).",
    )
