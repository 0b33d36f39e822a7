"""Prices: a device by the hour, or tokens by the million. Each row says who, when and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from advisor.spec.quantities import PricePerHour, PricePerMtok
from advisor.spec.spec import Spec


class DevicePrice(Spec):
    """One device rented by the hour. A row of the catalog."""

    device: str = Field(min_length=1, description="A device name of the catalog.")
    provider: str = Field(min_length=1, description="Who rents it out.")
    tier: Literal["on-demand", "spot", "reserved", "endpoint"] = Field(
        description="Only on-demand and spot rows are taken; the others are for comparison."
    )
    usd_per_hour: float = Field(gt=0, le=1e6, description="For one device.")
    min_devices: int = Field(1, ge=1, description="Smallest number that can be rented together.")
    product: str = Field("", description="The seller's name for it, such as H100 SXM Secure Cloud.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


class TokenPrice(Spec):
    """Serverless price of one model. A row of the catalog."""

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    usd_per_mtok_input: float = Field(ge=0)
    usd_per_mtok_output: float = Field(ge=0)
    lora: str = Field("", description="The provider's rule for adapters; empty means none offered.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


class OwnPrice(Spec):
    """What the user pays, in place of the catalog's figure."""

    device: str = Field(min_length=1, description="A name under devices or own_devices.")
    price: PricePerHour = Field(gt=0, description="For one device, such as 2.5 USD/h.")


class PriceWish(Spec):
    """Which prices count."""

    own: tuple[OwnPrice, ...] = Field(
        (), description="Your own prices; they replace the catalog's for that device."
    )
    providers: tuple[str, ...] = Field((), description="Only these providers of the catalog; all if empty.")
    tier: Literal["on-demand", "spot"] = Field(
        "on-demand", description="spot is cheaper and can be taken away."
    )
    serverless_usd_per_mtok: PricePerMtok | None = Field(
        None, description="A token price to compare with, in place of the catalog's."
    )
