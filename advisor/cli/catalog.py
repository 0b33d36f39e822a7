"""`advisor catalog`: what is known beforehand, with source and date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from advisor.cli import options, terminal
from advisor.tables.table import Column, Table

if TYPE_CHECKING:
    from pydantic import BaseModel


@click.group(epilog=options.example("advisor catalog prices\nadvisor catalog devices --catalog my-catalog/ --json"))
def catalog() -> None:
    """Known models, devices, prices and engines, with source and date."""


def _show(table: Table, rows: Sequence[BaseModel], as_json: bool) -> None:
    if as_json:
        listed = [row.model_dump(mode="json") for row in rows]
        terminal.say(json.dumps({"schema_version": 1, table.name: listed}, indent=2))
    else:
        from advisor.text import table as text

        terminal.say(text(table, terminal.style()))


def _use(catalog_path: str | None) -> None:
    if catalog_path is not None:
        from advisor.catalog.tables import use_catalog

        use_catalog(catalog_path)


@catalog.command(epilog=options.example("advisor catalog models"))
@options.catalog_path
@options.as_json
def models(catalog_path: str | None, as_json: bool) -> None:
    """Sizes of the known models."""
    from advisor.catalog.shapes import models as known

    _use(catalog_path)
    found = known()
    table = Table(
        "models",
        "Known models.",
        (
            Column("model"), Column("parameters", "number", unit="1e9"), Column("layers", "count", weight=2),
            Column("hidden", "count", weight=1), Column("weights", "gib"), Column("KV a token", "count", unit="bytes"),
            Column("source", weight=3, cut=True),
        ),
        tuple((m.name, m.parameters / 1e9, m.layers, m.hidden_size, m.weights_bytes, m.kv_bytes_per_token, m.source) for m in found),
    )  # fmt: skip
    _show(table, found, as_json)


@catalog.command(epilog=options.example("advisor catalog devices"))
@options.catalog_path
@options.as_json
def devices(catalog_path: str | None, as_json: bool) -> None:
    """Memory, peaks and links of the known devices."""
    from advisor.catalog.hardware import devices as known

    _use(catalog_path)
    found = known()
    table = Table(
        "devices",
        "Known devices.",
        (
            Column("device"), Column("memory", "gib"), Column("bandwidth", "number", unit="GB/s"),
            Column("bf16", "number", unit="TFLOP/s"), Column("host link", "number", unit="GB/s"),
            Column("date", weight=2), Column("source", weight=1, cut=True),
        ),
        tuple(
            (d.name, d.memory_bytes, d.bandwidth_bytes_per_s / 1e9, d.bf16_flops_per_s / 1e12, d.host_link_bytes_per_s / 1e9, d.date, d.source)
            for d in found
        ),
    )  # fmt: skip
    _show(table, found, as_json)


@catalog.command(epilog=options.example("advisor catalog prices --device H100-80-SXM"))
@click.option("--device", "device_name", help="This device alone.")
@options.catalog_path
@options.as_json
def prices(device_name: str | None, catalog_path: str | None, as_json: bool) -> None:
    """Dated prices of devices by the hour."""
    from advisor.catalog.hardware import device, devices
    from advisor.catalog.prices import device_prices

    _use(catalog_path)
    wanted = devices() if device_name is None else (device(device_name),)
    found = [price for one in wanted for price in device_prices(one)]
    table = Table(
        "prices",
        "Dated prices, one device for an hour.",
        (
            Column("device"), Column("provider"), Column("tier"), Column("$/h", "usd"), Column("date"),
            Column("from", "count", unit="devices", weight=2), Column("source", weight=1, cut=True),
        ),
        tuple((p.device, p.provider, p.tier, p.usd_per_hour, p.date, p.min_devices, p.source) for p in found),
    )  # fmt: skip
    _show(table, found, as_json)


@catalog.command(epilog=options.example("advisor catalog engines"))
@options.catalog_path
@options.as_json
def engines(catalog_path: str | None, as_json: bool) -> None:
    """What the known serving engines can do, and their defaults."""
    from advisor.catalog.capabilities import engines as known

    _use(catalog_path)
    found = known()
    table = Table(
        "engines",
        "Known engines.",
        (
            Column("engine"), Column("version"), Column("multi-LoRA"), Column("adapter loads"), Column("drafts with LoRA"),
            Column("max_num_seqs", "count", weight=3), Column("date", weight=2), Column("source", weight=1, cut=True),
        ),
        tuple(
            (
                e.name, e.version, "yes" if e.multi_lora else "no", e.load_mode,
                ", ".join(s.method for s in e.speculation if s.with_lora) or "none",
                e.default_max_num_seqs, e.date, e.source,
            )
            for e in found
        ),
    )  # fmt: skip
    _show(table, found, as_json)
