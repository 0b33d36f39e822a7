"""What a simulation returns: one row a request in columns, every second of latency with its cause."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.steptime.batch import COMPONENTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CAUSES = ("frontend", "queue", "adapter_wait", "load", "preempted", "start_up", *COMPONENTS)
"""Where a request's time goes.

frontend      outside the engine loop
queue         waiting for a seat, a token budget, KV blocks, the end of the running step, or another replica
              after the death of its own
adapter_wait  waiting while max_loras distinct adapters run and its own is not among them
load          steps stalled by a blocking load (its own or another's); waiting for its own overlapped load
preempted     waiting after a preemption (or a replica's death) until it runs again
start_up      waiting at the router until the first replica is ready
components    the steps it took part in, by component; in a step everybody waits for the whole batch
"""


@dataclass(frozen=True, slots=True)
class Series:
    """State of one replica after each scheduling event; piecewise constant between rows (KV: linear)."""

    time_s: Floats
    running: Ints
    waiting: Ints
    kv_blocks_used: Ints
    adapters_running: Ints
    slots_filled: Ints


@dataclass(slots=True)
class Life:
    """One replica of a fleet that scales, from the start of its start-up until it is off: what is paid."""

    replica: int
    begin_s: float
    ready_s: float = math.inf  # inf: its start-up was broken off, or had not ended by the end of the run
    drain_s: float = math.inf  # it got no new requests from then on; inf: it was not asked to go
    off_s: float = math.inf  # with its last token after that, or the end of the run
    warm: bool = False  # ready from the beginning
    requests: list[int] = field(default_factory=list)  # that it was given; empty when the run is over


@dataclass(frozen=True, slots=True)
class SimResult:
    """One row a request, in the trace's order. Times: seconds on the trace's clock; NaN: did not happen."""

    arrival_s: Floats
    scheduled_s: Floats  # start of the first step that held a token of it
    first_token_s: Floats  # at the client, frontend included
    last_token_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    cached_tokens: Ints  # prompt tokens served from the prefix cache at first admission
    adapter: Ints
    replica: Ints  # the last one that held it; -1: none
    preemptions: Ints
    verify_steps: Ints  # decode steps it took part in; acceptance length = (output - 1) / verify_steps
    ttft_causes_s: Floats  # (requests, len(CAUSES)); rows add up to first_token_s - arrival_s
    decode_causes_s: Floats  # rows add up to last_token_s - first_token_s
    end_s: float  # when the last step ended (or the horizon)
    steps: int
    step_time_s: float  # Σ duration of steps over replicas (busy time)
    loads_from_disk: int
    loads_to_slot: int
    load_s: float
    # distinct step durations as decoding sequences felt them, and how many sequences felt each
    itl_s: Floats = field(default_factory=lambda: np.zeros(0))
    itl_weight: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    series: tuple[Series, ...] = ()  # one a replica, when asked for
    # tokens of each answer by the end, of unfinished requests too
    emitted_tokens: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    notes: tuple[str, ...] = ()
    lives: tuple[Life, ...] = ()  # of a fleet that scales, in the order of their beginning

    @property
    def paid_s(self) -> float:
        """Replica-seconds of a fleet that scales, from the start of a start-up until the replica is off."""
        return math.fsum(life.off_s - life.begin_s for life in self.lives)

    @property
    def starts(self) -> int:
        """Start-ups of a fleet that scales, those broken off included."""
        return sum(not life.warm for life in self.lives)

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which requests finished."""
        return np.isfinite(self.last_token_s)

    @property
    def ttft_s(self) -> Floats:
        """Time to first token of each request; NaN where it did not come."""
        return self.first_token_s - self.arrival_s

    @property
    def e2e_s(self) -> Floats:
        """End-to-end latency."""
        return self.last_token_s - self.arrival_s

    @property
    def tpot_s(self) -> Floats:
        """(E2E - TTFT) / (output tokens - 1); 0 for one-token answers, as `vllm bench serve` counts them."""
        gaps = np.maximum(self.output_tokens - 1, 1)
        return np.where(self.output_tokens > 1, (self.last_token_s - self.first_token_s) / gaps, 0.0)
