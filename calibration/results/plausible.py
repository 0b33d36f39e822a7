"""Whether a run's figures fit together. They do not where seconds were taken for milliseconds.

Little's law: requests at once = answered requests a second · mean latency. A load generator that keeps
C requests in flight measures about C of them at once, and never more than it had prompts.
"""

from __future__ import annotations

from typing import Final

from advisor.errors import InputError
from calibration.results.measured import MeasuredRun

_FACTOR: Final = 20.0
"""Ramps and stragglers make a closed loop's mean half of C at worst; a wrong unit makes it 1000 times off."""


def check_units(run: MeasuredRun, *, source: str) -> None:
    """Refuse a run whose latencies cannot be what they are said to be.

    Raises:
        InputError: names the figures that contradict each other.
    """
    latency, at_once = run.latency_s, run.at_once
    if latency is None or at_once is None or not run.completed:
        return
    limit = run.max_concurrency or (run.completed + run.failed)
    law = f"{run.throughput_rps:.4g} requests/s of {latency:.4g} s each are {at_once:.3g} at once"
    if latency > run.duration_s * _FACTOR:
        raise InputError(
            f"{source}: the mean latency is {latency:.4g} s and the whole run took {run.duration_s:.4g} s; "
            "allowed: a latency within the run. Its unit is not the one that was taken."
        )
    if at_once > limit * 1.5 + 1:
        raise InputError(
            f"{source}: {law}, and at most {limit} were sent; allowed: latencies that fit. Their unit is not "
            "the one that was taken."
        )
    closed = run.max_concurrency is not None and run.request_rate_rps is None
    if closed and run.completed >= 2 * limit and at_once < limit / _FACTOR:
        raise InputError(
            f"{source}: {law}, and {limit} were kept in flight; allowed: latencies that fit. Their unit is "
            "not the one that was taken."
        )
