"""What an engine fills in while it runs: columns a request, totals a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.sim.result import CAUSES, Series

FRONTEND, QUEUE, ADAPTER_WAIT, LOAD, PREEMPTED, START_UP = range(6)
FIRST_COMPONENT = 6


@dataclass(slots=True)
class Outcome:
    """Times on the trace's clock, at the engine (the frontend is added by the fleet); NaN: did not happen."""

    scheduled_s: NDArray[np.float64]
    first_token_s: NDArray[np.float64]
    last_token_s: NDArray[np.float64]
    cached_tokens: NDArray[np.int64]
    replica: NDArray[np.int64]
    preemptions: NDArray[np.int64]
    verify_steps: NDArray[np.int64]
    emitted_tokens: NDArray[np.int64]
    ttft_causes_s: NDArray[np.float64]
    decode_causes_s: NDArray[np.float64]
    steps: int = 0
    step_time_s: float = 0.0
    end_s: float = 0.0
    loads_from_disk: int = 0
    loads_to_slot: int = 0
    load_s: float = 0.0
    itl_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    itl_weight: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    series: list[Series] = field(default_factory=list)

    @classmethod
    def empty(cls, requests: int) -> Outcome:
        """Nothing has happened yet."""

        def times() -> NDArray[np.float64]:
            return np.full(requests, np.nan)

        def counts(first: int = 0) -> NDArray[np.int64]:
            return np.full(requests, first, dtype=np.int64)

        return cls(
            scheduled_s=times(),
            first_token_s=times(),
            last_token_s=times(),
            cached_tokens=counts(),
            replica=counts(-1),
            preemptions=counts(),
            verify_steps=counts(),
            emitted_tokens=counts(),
            ttft_causes_s=np.zeros((requests, len(CAUSES))),
            decode_causes_s=np.zeros((requests, len(CAUSES))),
        )


@dataclass(slots=True)
class SeriesRows:
    """Rows of one replica's series as they come."""

    rows: list[tuple[float, int, int, int, int, int]] = field(default_factory=list)

    def columns(self) -> Series:
        """As columns."""
        if not self.rows:
            return Series(np.zeros(0), *(np.zeros(0, dtype=np.int64) for _ in range(5)))
        times, *counts = zip(*self.rows, strict=True)
        return Series(np.asarray(times, dtype=np.float64), *(np.asarray(c, dtype=np.int64) for c in counts))
