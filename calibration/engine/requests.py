"""What the engine keeps of a request and of a step, and what a step hands out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from advisor.sim.scheduler import Request
from advisor.steptime.batch import Batch
from calibration.engine.sampler import Sampling

Reason = Literal["length", "stop", "abort", "error"]


@dataclass(slots=True, eq=False)
class LiveRequest:
    """A request's tokens and times, around the scheduler's counts. Times are those of the engine's clock."""

    request: Request
    adapter: str | None
    tokens: list[int]  # prompt, then answer
    sampling: Sampling
    stops: frozenset[int]
    arrival_s: float
    scheduled_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    reason: Reason | None = None
    error: str = ""
    verify_steps: int = 0
    accepted_drafts: int = 0
    drafted_tokens: int = 0
    draft_computed: int = 0  # tokens whose KV the draft model has

    @property
    def answer(self) -> list[int]:
        """Tokens emitted so far."""
        return self.tokens[self.request.prompt_tokens :]


class TokenOutput(NamedTuple):
    """What one step gave one request; with `reason`, it is the last."""

    request: int
    tokens: tuple[int, ...]
    at_s: float
    reason: Reason | None = None
    error: str = ""


class StepRecord(NamedTuple):
    """One step, as calibration and replay read it. The seconds are the step's but for some bookkeeping."""

    start_s: float
    end_s: float
    batch: Batch
    schedule_s: float
    load_s: float  # adapters brought in before the step (blocking)
    draft_s: float
    model_s: float
    sample_s: float
    drafted_tokens: int
    emitted_tokens: int
    preempted: int
    running: int
    waiting: int
    kv_free_blocks: int
    graph_tokens: int = 0  # of a step of fixed shape, padding included (graphs.py); 0: its own shape


@dataclass(slots=True)
class Counters:
    """Totals since the engine was made."""

    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    emitted_tokens: int = 0
    preemptions: int = 0
    loads_from_disk: int = 0
    loads_from_cpu: int = 0
    failed_loads: int = 0
    drafted: list[int] = field(default_factory=list)  # drafts at each position
    accepted: list[int] = field(default_factory=list)  # of them accepted, with all before them

    def count_drafts(self, drafted: int, accepted: int) -> None:
        """One verify step of one sequence."""
        for counts, upto in ((self.drafted, drafted), (self.accepted, accepted)):
            counts.extend([0] * (drafted - len(counts)))
            for position in range(upto):
                counts[position] += 1
