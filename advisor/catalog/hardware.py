"""Known devices: memory, peak rates, links."""

from __future__ import annotations

from pydantic import Field

from advisor.catalog.tables import lookup_key, rows, unknown
from advisor.spec.device import Device
from advisor.spec.spec import Spec


class DeviceRow(Spec):
    """One device, in datasheet units. A row of devices.csv."""

    name: str = Field(min_length=1)
    aliases: str = Field("", description="Other names, with ';' between them.")
    memory_mib: float = Field(gt=0, le=1e8, description="As the driver reports it, ECC taken off.")
    bandwidth_gb_s: float = Field(gt=0, le=1e6, description="Memory bandwidth, datasheet.")
    bf16_tflops: float = Field(gt=0, le=1e6, description="Dense, without sparsity, datasheet.")
    fp8_tflops: float | None = Field(None, gt=0, le=1e6, description="Empty if the device has no fp8.")
    host_link_gb_s: float = Field(gt=0, le=1e6, description="A direction.")
    peer_link_gb_s: float | None = Field(
        None, gt=0, le=1e6, description="A direction; empty: over the host link."
    )
    max_tensor_parallel: int = Field(8, ge=1, le=64, description="Devices of a common server.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


def device(name: str) -> Device:
    """Return a device by name or alias, whatever its case and dashes.

    Raises:
        InputError: not known (with the nearest name).
    """
    wanted = lookup_key(name)
    for row in _rows():
        if wanted in map(lookup_key, (row.name, *row.aliases.split(";"))):
            return _device(row)
    raise unknown("device", name, [row.name for row in _rows()])


def devices() -> tuple[Device, ...]:
    """Return every device of the catalog."""
    return tuple(_device(row) for row in _rows())


def _rows() -> tuple[DeviceRow, ...]:
    return rows("devices.csv", DeviceRow, lambda row: lookup_key(row.name))


def _device(row: DeviceRow) -> Device:
    return Device(
        name=row.name,
        memory_bytes=row.memory_mib * 2.0**20,
        bandwidth_bytes_per_s=row.bandwidth_gb_s * 1e9,
        bf16_flops_per_s=row.bf16_tflops * 1e12,
        fp8_flops_per_s=None if row.fp8_tflops is None else row.fp8_tflops * 1e12,
        host_link_bytes_per_s=row.host_link_gb_s * 1e9,
        peer_link_bytes_per_s=None if row.peer_link_gb_s is None else row.peer_link_gb_s * 1e9,
        max_tensor_parallel=row.max_tensor_parallel,
        source=row.source,
        date=row.date,
    )
