"""Known prices, each with seller, source and date: devices, tokens, and the rules for adapters.

One H100 costs from 2.7 to 12.3 USD an hour. The price taken is therefore, in this order:
the user's own; else the median row of the tier, after the wanted providers, old rows of a product that
was seen again, and (where single devices can be had) rows of a minimum above one device are left out.
Of two middle rows the dearer one is taken. The row is quoted, and `price_spread` says how far others are.
"""

from __future__ import annotations

from pydantic import Field

from advisor.catalog.hardware import device as device_named
from advisor.catalog.tables import NotInCatalogError, lookup_key, rows, unknown
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.price import DevicePrice, PriceWish, TokenPrice
from advisor.spec.spec import Spec


class TokenPriceRow(Spec):
    """A token price of one model, or of a class of sizes. A row of token_prices.csv."""

    provider: str = Field(min_length=1, description="Who sells it.")
    model: str = Field("", description="A catalog name; empty where the price is for a class of sizes.")
    above_billion_parameters: float | None = Field(None, ge=0, description="The class begins above this.")
    to_billion_parameters: float | None = Field(None, gt=0, description="The class ends here.")
    usd_per_mtok_input: float = Field(ge=0, description="A million prompt tokens.")
    usd_per_mtok_output: float = Field(ge=0, description="A million answer tokens.")
    lora: str = Field("", description="The provider's rule for adapters at this price; empty: none offered.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)

    def covers(self, model: ModelShape) -> bool:
        """Whether the price is one for this model; a named model is meant whatever its weights' dtype."""
        if self.model:
            return lookup_key(self.model) == lookup_key(model.name.removesuffix("-FP8"))
        low, high = self.above_billion_parameters or 0.0, self.to_billion_parameters
        return high is not None and low * 1e9 < model.parameters <= high * 1e9


class LoraOffer(Spec):
    """How a provider charges for adapters. A row of lora_offers.csv."""

    provider: str = Field(min_length=1, description="Who sells it.")
    offer: str = Field(min_length=1, description="What is sold.")
    price_rule: str = Field(min_length=1, description="What is paid for.")
    limits: str = Field("", description="On rank, number or size of adapters.")
    latency: str = Field("", description="What the seller says about it.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


def device_prices(device: Device | str) -> tuple[DevicePrice, ...]:
    """Return a device's price rows of any tier, cheapest first; of a product seen twice, the newer row."""
    wanted = lookup_key(_name_of(device))
    newest: dict[tuple[str, str, str], DevicePrice] = {}
    for row in sorted(_device_rows(), key=lambda row: row.date):
        if lookup_key(row.device) == wanted:
            newest[row.provider, row.product, row.tier] = row
    return tuple(sorted(newest.values(), key=lambda row: (row.usd_per_hour, row.provider, row.product)))


def price_of(device: Device | str, wish: PriceWish | None = None) -> DevicePrice:
    """Return the price to reckon with for one device: the user's own, else the median row (see above).

    Raises:
        NotInCatalogError: no price is known under these wishes, or a provider that the catalog lacks.
        InputError: a file of the user's catalog has a fault.
    """
    wish = wish or PriceWish()
    name = _name_of(device)
    for own in wish.own:
        if lookup_key(_name_of(own.device)) == lookup_key(name):
            return DevicePrice(
                device=name,
                provider="own",
                tier=wish.tier,
                usd_per_hour=own.price,
                source="prices.own in the scenario",
                date="given by the user",
            )
    fitting = _fitting(name, wish)
    if not fitting:
        sellers = sorted({f"{row.provider} ({row.tier})" for row in device_prices(name)})
        known = f"known: {', '.join(sellers)}" if sellers else "the catalog has none"
        of = f" of {', '.join(wish.providers)}" if wish.providers else ""
        raise NotInCatalogError(
            f"prices: no {wish.tier} price{of} for {name}; {known}. "
            f"Write yours under prices.own, such as {{device: {name}, price: 2.5 USD/h}}."
        )
    single = [row for row in fitting if row.min_devices == 1] or fitting
    return single[len(single) // 2]


def price_spread(
    device: Device | str, wish: PriceWish | None = None
) -> tuple[DevicePrice, DevicePrice] | None:
    """Return the cheapest and the dearest row that fit the wish; None for the user's own price."""
    wish = wish or PriceWish()
    chosen = price_of(device, wish)
    if chosen.provider == "own":
        return None
    fitting = _fitting(chosen.device, wish)
    return fitting[0], fitting[-1]


def token_prices(model: ModelShape) -> tuple[TokenPrice, ...]:
    """Return the serverless prices known for a model, cheapest output first."""
    found = [row for row in _token_rows() if row.covers(model)]
    prices = [
        TokenPrice(
            provider=row.provider,
            model=model.name,
            usd_per_mtok_input=row.usd_per_mtok_input,
            usd_per_mtok_output=row.usd_per_mtok_output,
            lora=row.lora,
            source=row.source,
            date=row.date,
        )
        for row in found
    ]
    return tuple(sorted(prices, key=lambda price: (price.usd_per_mtok_output, price.provider)))


def lora_offers(provider: str | None = None) -> tuple[LoraOffer, ...]:
    """Return how providers charge for adapters, all or one's."""
    found = rows("lora_offers.csv", LoraOffer, lambda row: (row.provider, row.offer))
    return tuple(row for row in found if provider is None or row.provider == provider)


def _name_of(device: Device | str) -> str:
    """The catalog's name of a device; a device of the user's own keeps the name given."""
    if isinstance(device, Device):
        return device.name
    try:
        return device_named(device).name
    except NotInCatalogError:
        return device


def _fitting(name: str, wish: PriceWish) -> list[DevicePrice]:
    """Rows that fit the wish, cheapest first."""
    providers = {row.provider for row in _device_rows()}
    for provider in wish.providers:
        if provider not in providers:
            raise unknown("prices.providers:", provider, sorted(providers))
    return [
        row
        for row in device_prices(name)
        if row.tier == wish.tier and (not wish.providers or row.provider in wish.providers)
    ]


def _device_rows() -> tuple[DevicePrice, ...]:
    return rows(
        "device_prices.csv",
        DevicePrice,
        lambda row: (lookup_key(row.device), row.provider, row.tier, row.product),
    )


def _token_rows() -> tuple[TokenPriceRow, ...]:
    return rows(
        "token_prices.csv", TokenPriceRow, lambda row: (row.provider, row.model, row.to_billion_parameters)
    )
