"""Seconds of a piece of work, as little disturbed by others as can be had."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns, process_time_ns

import torch


class Clock:
    """CPU seconds where one thread of a CPU does all the work, else wall seconds between two fences.

    On a machine that others use as well, a step's wall seconds hold their turns; its CPU seconds do not.
    """

    def __init__(self, device: torch.device, threads: int) -> None:
        self._cuda = device if device.type == "cuda" else None
        self.counts_cpu = self._cuda is None and threads == 1

    def now_s(self) -> float:
        """Seconds since some time, all work given to the device done."""
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        return (process_time_ns() if self.counts_cpu else perf_counter_ns()) * 1e-9

    def seconds(self, work: Callable[[], object]) -> float:
        """Seconds of one call."""
        start = self.now_s()
        work()
        return self.now_s() - start
