"""What the replicas of one skipping run share: the trace in columns, requests on their way, the ledger."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from advisor.sim.draws import Draws
from advisor.sim.ledger import Ledger
from advisor.sim.outcome import Outcome
from advisor.sim.setup import ReplicaSetup
from advisor.sim.verify import verify_of
from advisor.trace.trace import Trace


class StepLine(NamedTuple):
    """A decode line as the replicas use it, in seconds of the whole step."""

    number: int  # in the ledger
    slope_s: float  # a context token
    at_zero_s: float
    low: float  # contexts on it: low <= C < high
    high: float


def line_key(draft_length: int) -> int:
    """What the keys of `RunData.lines` begin with at this draft length."""
    return draft_length << 48


class RunData:
    """One object a run. Columns are `array`s: eight bytes an entry, and plain Python numbers when read."""

    __slots__ = (
        "_clock",
        "_known",
        "adapter",
        "cached",
        "emitted",
        "finish",
        "last_emission_s",
        "ledger",
        "lines",
        "outcome",
        "output",
        "place",
        "preempted_at_s",
        "prompt",
        "refills",
        "replica",
        "trace",
        "verify",
        "wants_series",
    )

    def __init__(self, trace: Trace, setup: ReplicaSetup, draws: Draws | None, *, wants_series: bool) -> None:
        self.trace = trace
        self.wants_series = wants_series
        self.verify = verify_of(trace, draws, setup.limits.kv_block_tokens) if draws else None
        self.ledger = Ledger(len(trace), prompts_apart=setup.limits.batching == "prompts_first")
        self._clock = setup.clock
        # the line used last, by `line_key` + sequences · 1 000 003 + adapters
        self.lines: dict[int, StepLine] = {}
        self._known: dict[tuple[int, int, int, float], StepLine] = {}
        self.outcome = Outcome.empty(len(trace))
        self.prompt = array("q", trace.prompt_tokens.astype(np.int64).tobytes())
        self.output = array("q", trace.output_tokens.astype(np.int64).tobytes())
        self.adapter = array("q", trace.adapter.astype(np.int64).tobytes())
        self.replica = array("q", [-1]) * len(trace)  # who has it
        self.outcome.replica = np.frombuffer(self.replica, dtype=np.int64)  # the same memory
        self.cached = array("q", bytes(8 * len(trace)))  # prompt tokens found in memory
        self.outcome.cached_tokens = np.frombuffer(self.cached, dtype=np.int64)
        self.finish = array("q", bytes(8 * len(trace)))  # step at whose end it finishes, if it decodes
        self.emitted: dict[int, int] = {}  # answer so far of requests that were preempted, or moved
        self.preempted_at_s: dict[int, float] = {}  # since when they wait
        self.last_emission_s: dict[int, float] = {}  # of requests whose last token is not one step old
        self.refills: dict[int, int] = {}  # how often a request has computed its answer again
        self.place = _places(trace) if setup.limits.policy == "priority" else None

    def line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> StepLine:
        """The line of pure decode steps around this context: one for all replicas, kept in `lines`."""
        of = self._clock.decode_line(decodes, adapters, draft_length, context_tokens)
        line = self._known.get((decodes, adapters, draft_length, of.context_low))
        if line is None:
            number = self.ledger.add_line(of)
            line = StepLine(number, of.slope.total, of.at_zero.total, of.context_low, of.context_high)
            self._known[decodes, adapters, draft_length, of.context_low] = line
        self.lines[line_key(draft_length) + decodes * 1_000_003 + adapters] = line
        return line

    def finish_run(self) -> Outcome:
        """Columns from the ledger."""
        outcome = self.outcome
        self.ledger.fill(outcome, self.trace.arrival_s)
        done = ~np.isnan(outcome.last_token_s)
        outcome.emitted_tokens[done] = self.trace.output_tokens[done]
        for request, tokens in self.emitted.items():
            if not done[request]:
                outcome.emitted_tokens[request] = tokens
        if self.verify is None:
            outcome.verify_steps[:] = np.maximum(outcome.emitted_tokens - 1, 0)
            for request, times in self.refills.items():
                outcome.verify_steps[request] -= times
        return outcome


def _places(trace: Trace) -> array[int]:
    """Rank of each request by (priority, arrival, row)."""
    priority = trace.priority if trace.priority is not None else np.zeros(len(trace), dtype=np.int64)
    order = np.lexsort((trace.arrival_s, priority))
    places = np.empty(len(trace), dtype=np.int64)
    places[order] = np.arange(len(trace))
    return array("q", places.tobytes())
