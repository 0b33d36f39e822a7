from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.catalog.hardware import device
from advisor.catalog.prices import device_prices, price_of, price_spread, token_prices
from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.spec.price import OwnPrice, PriceWish


def own(usd: str) -> OwnPrice:
    return OwnPrice.model_validate_json(f'{{"device": "h100", "price": "{usd}"}}')


def test_the_own_price_wins() -> None:
    price = price_of(device("H100"), PriceWish(own=(own("2.5 USD/h"),)))
    assert (price.usd_per_hour, price.provider) == (2.5, "own")
    assert price_spread("H100-80-SXM", PriceWish(own=(own("2.5 USD/h"),))) is None


def test_a_device_goes_by_its_other_names_too() -> None:
    assert price_of("h100") == price_of("H100-80-SXM") == price_of(device("H100"))


def test_an_own_device_has_an_own_price() -> None:
    wish = PriceWish(own=(OwnPrice.model_validate_json('{"device": "my box", "price": "1 USD/h"}'),))
    assert price_of("My-Box", wish).usd_per_hour == 1.0


def test_a_free_device_is_no_price() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        own("0 USD/h")


def test_the_median_single_device_row_is_taken_and_quoted() -> None:
    price = price_of("H100-80-SXM")
    singles = [
        row for row in device_prices("H100-80-SXM") if row.tier == "on-demand" and row.min_devices == 1
    ]
    below = sum(row.usd_per_hour < price.usd_per_hour for row in singles)
    above = sum(row.usd_per_hour > price.usd_per_hour for row in singles)
    assert below <= len(singles) / 2
    assert above <= len(singles) / 2
    assert price in singles
    assert price.source
    assert price.date


def test_the_spread_holds_every_row_of_the_tier() -> None:
    spread = price_spread("H100-80-SXM")
    assert spread is not None
    assert [row.usd_per_hour for row in spread] == [2.69, 12.29]


def test_of_a_product_seen_twice_the_newer_row_counts() -> None:
    secure = [row for row in device_prices("H100-80-SXM") if row.product == "H100 SXM Secure Cloud"]
    assert [(row.usd_per_hour, row.date) for row in secure] == [(3.99, "2026-11-09")]


def test_providers_and_tier_are_filters() -> None:
    assert price_of("H100-80-SXM", PriceWish(providers=("nebius",))).usd_per_hour == 3.85
    assert price_of("H100-80-SXM", PriceWish(tier="spot")).provider == "gcp"
    assert (
        price_of("A100-80-SXM", PriceWish(providers=("aws",))).min_devices == 8
    )  # nothing smaller to be had


@pytest.mark.parametrize(
    ("name", "wish", "said"),
    [
        (
            "L4",
            PriceWish(),
            "no on-demand price for L4; known: modal (endpoint). Write yours under prices.own",
        ),
        (
            "A10G",
            PriceWish(),
            "no on-demand price for A10G; the catalog has none. Write yours under prices.own",
        ),
        ("L40S", PriceWish(tier="spot"), "no spot price for L40S; known: nebius (on-demand)"),
        ("L40S", PriceWish(providers=("aws",)), "no on-demand price of aws for L40S; known: "),
        (
            "L40S",
            PriceWish(providers=("lamda",)),
            "prices.providers: 'lamda' is not in the catalog; did you mean lambda",
        ),
    ],
)
def test_no_price_is_said_and_none_is_invented(name: str, wish: PriceWish, said: str) -> None:
    with pytest.raises(InputError) as caught:
        price_of(name, wish)
    assert said in str(caught.value)


@pytest.mark.data
def test_every_public_device_price_is_in_the_catalog(shared_data: Path) -> None:
    with (shared_data / "facts" / "prices.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "gpu_hour"]
    known = {
        (row.device, row.provider, row.product, row.usd_per_hour)
        for name in {row["item"] for row in rows}
        for row in device_prices(name)
    }
    newest: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row["date"]):
        newest[row["item"], row["provider"], row["product"], row["tier"]] = row
    for row in newest.values():
        if row["item"] not in ("B300", "GB300"):  # no such device in the catalog
            price = (row["item"], row["provider"], row["product"], float(row["usd_per_gpu_hour"]))
            assert price in known


def test_token_prices_by_name_and_by_size() -> None:
    prices = {row.provider: row.usd_per_mtok_output for row in token_prices(model("Llama-3.1-8B"))}
    assert prices == {"together": 0.18, "fireworks": 0.2}
    assert {row.provider for row in token_prices(model("Llama-3.3-70B-FP8"))} == {"together", "fireworks"}
    assert token_prices(model("Qwen3-0.6B")) == ()
    assert all(row.lora == "" for row in token_prices(model("Llama-3.1-8B"))), "none serves adapters by token"
