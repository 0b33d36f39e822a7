"""Seconds of a piece of work on a device."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import torch


class Timer:
    """Times work on one device: wall clock on a CPU, events between two fences on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self._cuda: Any = torch.cuda if device.type == "cuda" else None

    def seconds(self, work: Callable[[], object], inner: int = 1) -> float:
        """Seconds of one call, the mean of `inner` in a row."""
        if self._cuda is None:
            start = perf_counter_ns()
            for _ in range(inner):
                work()
            return (perf_counter_ns() - start) * 1e-9 / inner
        begin, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        self._cuda.synchronize()
        begin.record()
        for _ in range(inner):
            work()
        end.record()
        self._cuda.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3 / inner

    def inner(self, work: Callable[[], object], least_s: float) -> int:
        """Calls in a row that take at least this long; warms up."""
        work()
        once = max(self.seconds(work), 1e-7)
        return max(1, min(1000, round(least_s / once)))
