"""This machine's processor as a device, for servers that run on it."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from advisor.spec.device import Device
from calibration.microbench.device import device_row

_COPY_BYTES = 2**26
_SIZE = 512
_ROUNDS = 3


def this_processor() -> Device:
    """Name and memory from the system; rates of one copy and one matrix product, the best of three."""
    source, target = np.ones(_COPY_BYTES // 8), np.empty(_COPY_BYTES // 8)
    square = np.ones((_SIZE, _SIZE), dtype=np.float32)
    copies, products = [], []
    for _ in range(_ROUNDS):
        began_s = perf_counter()
        np.copyto(target, source)
        copies.append(perf_counter() - began_s)
        began_s = perf_counter()
        square @ square
        products.append(perf_counter() - began_s)
    return device_row("cpu", (2 * _COPY_BYTES / min(copies), 2 * _SIZE**3 / min(products)))
