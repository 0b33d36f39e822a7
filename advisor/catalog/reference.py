"""Writes docs/reference/catalog.md from the tables: `python -m advisor.catalog.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from advisor.catalog.acceptance import AcceptanceRow, ShiftRow
from advisor.catalog.capabilities import engines
from advisor.catalog.compatibility import Rule
from advisor.catalog.hardware import DeviceRow, devices
from advisor.catalog.prices import LoraOffer, TokenPriceRow, device_prices, price_of, price_spread
from advisor.catalog.rounding import RoundingRow
from advisor.catalog.shapes import ModelRow, UnmodelledRow, models, not_modelled
from advisor.catalog.tables import VARIABLE, NotInCatalogError
from advisor.spec.device import Device
from advisor.spec.engine import EngineCapability
from advisor.spec.price import DevicePrice
from advisor.spec.reference import reachable, section

_HEAD: Final = f"""\
# The catalog

What is known beforehand: models, devices, prices, engines, published acceptance, what does not combine.
Each row has a source and a date. `python -m advisor.catalog.reference` writes this page from the tables.

## Your own rows

Put files of the same names and columns into a folder and name it with `--catalog FOLDER` or the environment
variable `{VARIABLE}`; one file alone may be named too. A row of yours replaces the shipped row of
the same thing, any other is added. A price list, `device_prices.csv`:

```csv
device,provider,tier,usd_per_hour,product,source,date
H100-80-SXM,our contract,on-demand,2.10,HGX H100,contract 4711,2026-11
L4,our contract,on-demand,0.45,L4,contract 4711,2026-11
```

For the price of a single scenario, `prices.own` in the scenario file is shorter.
"""
_PRICE_RULE: Final = """\
The price taken for a device is your own; else the median of the tier's rows. Left out first are rows of
providers that you did not name, older rows of a product that was seen again, and offers of several devices,
where single ones can be had. Of two middle rows the dearer one is taken. No price is invented: a device
without one needs yours.
"""
_TABLES: Final = (
    ("models.csv", ModelRow),
    ("not_modelled.csv", UnmodelledRow),
    ("devices.csv", DeviceRow),
    ("device_prices.csv", DevicePrice),
    ("token_prices.csv", TokenPriceRow),
    ("lora_offers.csv", LoraOffer),
    ("acceptance.csv", AcceptanceRow),
    ("adapter_shift.csv", ShiftRow),
    ("merge_rounding.csv", RoundingRow),
    ("engines.json", EngineCapability),
    ("compatibility.json", Rule),
)


def reference() -> str:
    """Return the reference page as Markdown."""
    known = ", ".join(model.name for model in models())
    files = "".join(f"| `{name}` | [{row.__name__}](#{row.__name__.lower()}) |\n" for name, row in _TABLES)
    return "\n".join(
        (
            _HEAD,
            f"## Models\n\n{known}.",
            "Each also with the ending `-FP8`. Organisation, case and `-Instruct` do not matter.",
            "Any other model of these families is read from its `config.json`.\n",
            _table(("what is not modelled", "models"), _not_modelled()),
            "## Devices and their prices\n",
            _PRICE_RULE,
            _table(
                ("device", "memory GiB", "bandwidth TB/s", "bf16 TFLOP/s", "USD/h taken", "others"),
                _devices(),
            ),
            "## Engines\n",
            _table(
                ("engine", "version", "remarks"), ((row.name, row.version, row.note) for row in engines())
            ),
            f"## Files\n\n| file | a row is a |\n|---|---|\n{files}",
            *(section(row) for row in reachable(*(row for _, row in _TABLES))),
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _not_modelled() -> Iterable[tuple[str, ...]]:
    by_reason: dict[str, list[str]] = {}
    for row in not_modelled():
        by_reason.setdefault(row.reason, []).append(row.name)
    return ((reason, ", ".join(names)) for reason, names in by_reason.items())


def _devices() -> Iterable[tuple[str, ...]]:
    for device in devices():
        yield (
            device.name,
            f"{device.memory_bytes / 2**30:.1f}",
            f"{device.bandwidth_bytes_per_s / 1e12:.2f}",
            f"{device.bf16_flops_per_s / 1e12:.0f}",
            *_price(device),
        )


def _price(device: Device) -> tuple[str, str]:
    """Say the price taken and what else is on the market, in words."""
    try:
        price, spread = price_of(device), price_spread(device)
    except NotInCatalogError:
        others = [f"{row.usd_per_hour:.4g} ({row.provider}, {row.tier})" for row in device_prices(device)]
        return "none: write yours", ", ".join(others) or "none"
    assert spread is not None, "the page is written without own prices"
    low, high = (f"{row.usd_per_hour:.4g}" for row in spread)
    return f"{price.usd_per_hour:.4g} ({price.provider})", f"{low} to {high}" if low != high else "no other"


if __name__ == "__main__":
    sys.stdout.write(reference())
