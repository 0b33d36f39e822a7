"""The device at hand as a row: what the system says of it, and the ceilings that were measured."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from advisor.errors import InputError
from advisor.spec.device import Device


def device_row(device: str, ceilings: tuple[float, float] | None) -> Device:
    """Describe `cpu` or `cuda:N`.

    Args:
        device: as torch names it.
        ceilings: measured (bytes/s of copies, flops/s of matrix products); None: 1, to be filled in.
    """
    bandwidth, rate = ceilings or (1.0, 1.0)
    today = datetime.now(UTC).date().isoformat()
    if device.startswith("cuda"):
        cuda: Any = torch.cuda
        found = cuda.get_device_properties(torch.device(device))
        name, memory = str(found.name), float(found.total_memory)
        link = known_link(name)
    else:
        name, memory, link = _processor(), _memory_bytes(), bandwidth
    return Device(
        name=name,
        memory_bytes=memory,
        bandwidth_bytes_per_s=bandwidth,
        bf16_flops_per_s=rate,
        host_link_bytes_per_s=max(link, 1.0),
        max_tensor_parallel=1,
        source="name and memory: the system; rates: measured copies and matrix products",
        date=today,
    )


def known_link(name: str) -> float:
    """Host link of a catalog device; PCIe 4 where it is unknown."""
    from advisor.catalog.hardware import device

    try:
        return device(name).host_link_bytes_per_s
    except InputError:
        return 25e9


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU {models[0] if models else 'unknown'} x {len(os.sched_getaffinity(0))}"


def _memory_bytes() -> float:
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
