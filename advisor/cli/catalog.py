"""`advisor catalog`: what is known beforehand, with source and date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from advisor.cli import options, terminal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from advisor.tables.table import Table


@click.group(
    epilog=options.example("advisor catalog prices\nadvisor catalog devices --catalog my-catalog/ --json")
)
def catalog() -> None:
    """Known models, devices, prices and engines, with source and date."""


def _show(table: Table, rows: Sequence[BaseModel], as_json: bool) -> None:
    if as_json:
        listed = [row.model_dump(mode="json") for row in rows]
        terminal.say(json.dumps({"schema_version": 1, table.name: listed}, indent=2))
    else:
        from advisor.text import table as text

        terminal.say(text(table, terminal.style()))


@catalog.command(epilog=options.example("advisor catalog models"))
@options.catalog_path
@options.as_json
def models(catalog_path: str | None, as_json: bool) -> None:
    """Sizes of the known models."""
    from advisor.catalog.shapes import models as known
    from advisor.tables import known as tables

    options.take_catalog(catalog_path)
    _show(tables.models(known()), known(), as_json)


@catalog.command(epilog=options.example("advisor catalog devices"))
@options.catalog_path
@options.as_json
def devices(catalog_path: str | None, as_json: bool) -> None:
    """Memory, peaks and links of the known devices."""
    from advisor.catalog.hardware import devices as known
    from advisor.tables import known as tables

    options.take_catalog(catalog_path)
    _show(tables.devices(known()), known(), as_json)


@catalog.command(epilog=options.example("advisor catalog prices --device H100-80-SXM"))
@click.option("--device", "device_name", help="This device alone.")
@options.catalog_path
@options.as_json
def prices(device_name: str | None, catalog_path: str | None, as_json: bool) -> None:
    """Dated prices of devices by the hour."""
    from advisor.catalog.hardware import device, devices
    from advisor.catalog.prices import device_prices
    from advisor.tables import known as tables

    options.take_catalog(catalog_path)
    wanted = devices() if device_name is None else (device(device_name),)
    found = [price for one in wanted for price in device_prices(one)]
    _show(tables.prices(found), found, as_json)


@catalog.command(epilog=options.example("advisor catalog engines"))
@options.catalog_path
@options.as_json
def engines(catalog_path: str | None, as_json: bool) -> None:
    """What the known serving engines can do, and their defaults."""
    from advisor.catalog.capabilities import engines as known
    from advisor.tables import known as tables

    options.take_catalog(catalog_path)
    _show(tables.engines(known()), known(), as_json)
