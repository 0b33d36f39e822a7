"""How fast the device at hand multiplies and reads: the best of several ways and repeats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from calibration.engine.matrix import blocked, linear
from calibration.roofline.clock import Clock

_LARGE: Final = {"cpu": 2048, "cuda": 8192}
_ROWS: Final = {"cpu": 512, "cuda": 8192}
_READ_BYTES: Final = {"cpu": 2**28, "cuda": 2**32}
_TIMES_CACHE: Final = 4
_REPEATS: Final = 3


class Rates(NamedTuple):
    """Operations and bytes a second."""

    flops_per_s: float
    bytes_per_s: float


class Device:
    """The products and reads that are timed, made once.

    Products: a large square one, and the model's own four of a layer with many rows, as the engine does
    them. Reads: the sum, a copy (read and written) and the product with one row of a working set of at least
    four times the last cache.
    """

    def __init__(self, shapes: list[tuple[int, int]], like: Tensor, clock: Clock) -> None:
        """Allocate.

        Args:
            shapes: (d_out, d_in) of the model's own products.
            like: device and dtype.
            clock: times work on that device.
        """
        self._clock = clock
        kind = like.device.type
        size, rows = _LARGE[kind], _ROWS[kind]
        self._products: list[tuple[float, Callable[[], object]]] = []
        for d_out, d_in in [(size, size), *shapes]:
            weight, x = blocked(_random(like, d_out, d_in)), _random(like, rows, d_in)
            self._products.append((2.0 * rows * d_out * d_in, lambda x=x, w=weight: linear(x, w)))  # type: ignore[misc]
        count = max(_READ_BYTES[kind], _TIMES_CACHE * last_cache_bytes()) // like.element_size()
        width = 4096
        read = _random(like, count // width, width)
        target, one = torch.empty_like(read), _random(like, 1, width)
        held = float(read.numel() * read.element_size())
        self._reads: list[tuple[float, Callable[[], object]]] = [
            (held, read.sum),
            (2.0 * held, lambda: target.copy_(read)),
            (held, lambda: linear(one, read)),
        ]

    def rates(self) -> Rates:
        """Both, now."""
        return Rates(self._best(self._products), self._best(self._reads))

    def _best(self, ways: list[tuple[float, Callable[[], object]]]) -> float:
        with torch.inference_mode():
            return max(amount / self._clock.seconds(work) for amount, work in ways for _ in range(_REPEATS))


def last_cache_bytes() -> int:
    """Of the largest cache of this machine's first core; 32 MiB where the system does not say."""
    sizes = [
        file.read_text(encoding="utf-8").strip()
        for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    ]
    unit = {"K": 2**10, "M": 2**20, "G": 2**30}
    return max((int(size[:-1]) * unit[size[-1]] for size in sizes if size[-1:] in unit), default=2**25)


def _random(like: Tensor, *size: int) -> Tensor:
    return torch.randn(size, dtype=torch.float32, device=like.device).to(like.dtype)
