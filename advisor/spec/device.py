"""A GPU (or CPU) as a place to serve on: memory, peaks, links."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.spec import Spec


class Device(Spec):
    """Sizes of one device, from the catalog or written by the user."""

    name: str = Field(min_length=1, description="The catalog's name, such as H100-80-SXM.")
    memory_bytes: float = Field(gt=0, le=1e15, description="Device memory, as the driver reports it.")
    bandwidth_bytes_per_s: float = Field(gt=0, le=1e15, description="Memory bandwidth, datasheet.")
    bf16_flops_per_s: float = Field(gt=0, le=1e18, description="Dense bf16 rate without sparsity, datasheet.")
    fp8_flops_per_s: float | None = Field(
        None, gt=0, le=1e18, description="Dense fp8 rate; null if the device has none."
    )
    host_link_bytes_per_s: float = Field(gt=0, le=1e15, description="PCIe or NVLink-C2C, a direction.")
    peer_link_bytes_per_s: float | None = Field(
        None, gt=0, le=1e15, description="GPU to GPU bandwidth a direction."
    )
    max_tensor_parallel: int = Field(8, ge=1, le=64, description="Devices in one node.")
    source: str = Field(min_length=1, description="Where these figures were read.")
    date: str = Field(min_length=1, description="When the source was read.")
