"""What the skipping engine writes down while it runs, and how times and causes are read from it.

Each span of steps of a replica is one row. A request stores the rows between which it ran; since a row's
components accumulate along its replica, the causes of a request are a difference of two rows, taken for
all requests at once when the run is over. Eight numbers a row and a few a request are all that is kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from advisor.sim.outcome import ADAPTER_WAIT, FIRST_COMPONENT, LOAD, PREEMPTED, QUEUE, Outcome
from advisor.steptime.batch import COMPONENTS, DecodeLine, StepParts

TTFT, DECODE = 0, 1
_WIDTH = 8
_REPLICA, _TIME, _STALL, _KIND, _STEPS, _CONTEXTS, _CONTEXT, _DECODES = range(_WIDTH)
_MOST_ITL_POINTS = 4_000_000
_COLUMNS = (LOAD, *range(FIRST_COMPONENT, FIRST_COMPONENT + len(COMPONENTS)))
"""Of the causes, as a row's seconds are split: the stall first."""
_pack_row = Struct(f"{_WIDTH}d").pack
_pack_parts = Struct(f"{len(COMPONENTS)}d").pack

Row = tuple[int, float, float, int, int, int, int, int]
"""A span of steps, in the order of the columns above.

replica   whose
time      when it ended
stall     seconds of blocking loads in it
kind      number of its line, or of its components if below zero
steps     how many; 0 marks a time only
contexts  context of the decoding sequences, summed over its steps
context   the same in its first step
decodes   sequences that emitted in each of its steps, one step after their last token
"""


class Ledger:
    """Rows of all replicas in the order of their ends, and the row numbers of each request."""

    def __init__(self, requests: int, *, prompts_apart: bool = False) -> None:
        """`prompts_apart`: decodes wait in every step that holds prompt chunks (`promptsfirst.py`)."""
        self.prompts_apart = prompts_apart
        nowhere = array("q", [-1]) * requests
        self.rows = 0
        self._cells = bytearray()  # of doubles: packed rows are twice as fast to add as numbers to an array
        self._mixed = bytearray()  # components of the steps that are on no line
        self._mixed_steps = 0
        self.lines: list[DecodeLine] = []
        self.admitted = array(
            "q", nowhere
        )  # row at whose end the request began to run, before its first token
        self.first = array("q", nowhere)  # row that ended with its first token
        self.resumed: dict[int, int] = {}  # row of its last admission, if that was after its first token
        self.last = array("q", nowhere)
        self.scheduled: dict[int, int] = {}  # row of its first admission, where `admitted` is a later one
        self.segments: list[
            tuple[int, int, int, int]
        ] = []  # (request, from row, to row, phase) cut by preemption
        self.missed: list[
            tuple[int, int, int]
        ] = []  # (request, row, phase): it ran but had no part in this step
        self.adapter_wait_s = array("d", [0.0]) * requests
        self.load_wait_s: dict[int, float] = {}
        self.preempted_s: list[tuple[int, int, float]] = []  # (request, phase, seconds)
        self.gaps_s: list[float] = []  # between two emissions of one request that were not one step apart
        self.joint_gaps_s: list[tuple[float, int]] = []  # the same of several requests: (gap, how many)
        self.took_part: list[
            tuple[int, int]
        ] = []  # prompts apart: (request, row) in which it computed its answer again

    def add_line(self, line: DecodeLine) -> int:
        """Number of a new line."""
        self.lines.append(line)
        return len(self.lines) - 1

    def add_mixed(self, parts: StepParts) -> int:
        """Number, below zero, of a step with prompt chunks."""
        self._mixed += _pack_parts(*parts)
        self._mixed_steps += 1
        return -self._mixed_steps

    def add(self, row: Row) -> int:
        """A span ends; returns the number of its row."""
        self._cells += _pack_row(*row)
        self.rows += 1
        return self.rows - 1

    def fill(self, outcome: Outcome, arrival_s: NDArray[np.float64]) -> None:
        """Times, causes, gaps and totals of the run."""
        table = np.frombuffer(self._cells, dtype=np.float64).reshape(-1, _WIDTH)
        if not len(table):
            return
        admitted, first, last = (
            np.frombuffer(a, dtype=np.int64) for a in (self.admitted, self.first, self.last)
        )
        scheduled = admitted.copy()
        for request, row in self.scheduled.items():
            scheduled[request] = row
        times = table[:, _TIME]
        for column, rows in (
            (outcome.scheduled_s, scheduled),
            (outcome.first_token_s, first),
            (outcome.last_token_s, last),
        ):
            column[:] = np.where(rows >= 0, times[rows], np.nan)
        spans = self._spans(table)
        durations = spans.sum(axis=1)
        outcome.steps = int(table[:, _STEPS].sum())
        outcome.step_time_s = float(durations.sum())
        outcome.end_s = float(times[table[:, _STEPS] > 0].max(initial=0.0))
        self._waits(outcome, outcome.scheduled_s - arrival_s)
        decoding = first.copy()
        for request, row in self.resumed.items():
            decoding[request] = row
        parts = list(zip(_COLUMNS, spans.T, strict=True))
        whole = ((TTFT, admitted, first), (DECODE, decoding, last))
        self._components(outcome, parts, table[:, _REPLICA], whole)
        if self.prompts_apart:
            self._put_aside(outcome, spans, table, whole[1:])
        self._misses(outcome, spans, durations)
        outcome.itl_s, outcome.itl_weight = self._gaps(table, durations)

    def _spans(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds of each row: (rows, 1 + components), the stall first."""
        parts = len(COMPONENTS)
        spans = np.zeros((len(table), 1 + parts))
        spans[:, 0] = table[:, _STALL]
        kind = table[:, _KIND].astype(np.int64)
        mixed = (kind < 0) & (table[:, _STEPS] > 0)
        if mixed.any():
            spans[mixed, 1:] = np.frombuffer(self._mixed, dtype=np.float64).reshape(-1, parts)[
                -1 - kind[mixed]
            ]
        lined = np.flatnonzero((kind >= 0) & (table[:, _STEPS] > 0))
        if lined.size:
            at_zero = np.asarray([line.at_zero for line in self.lines])
            slope = np.asarray([line.slope for line in self.lines])
            for part in range(parts):
                spans[lined, 1 + part] = (
                    table[lined, _STEPS] * at_zero[kind[lined], part]
                    + table[lined, _CONTEXTS] * slope[kind[lined], part]
                )
        return spans

    def _waits(self, outcome: Outcome, waited_s: NDArray[np.float64]) -> None:
        causes = outcome.ttft_causes_s
        ran = ~np.isnan(waited_s)
        causes[ran, ADAPTER_WAIT] = np.frombuffer(self.adapter_wait_s, dtype=np.float64)[ran]
        for request, seconds in self.load_wait_s.items():
            causes[request, LOAD] = seconds
        causes[ran, QUEUE] = waited_s[ran] - causes[ran, ADAPTER_WAIT] - causes[ran, LOAD]
        for request, phase, seconds in self.preempted_s:
            _phase(outcome, phase)[request, PREEMPTED] += seconds

    def _components(
        self,
        outcome: Outcome,
        parts: Sequence[tuple[int, NDArray[np.float64]]],
        replica: NDArray[np.float64],
        whole: Sequence[tuple[int, NDArray[np.int64], NDArray[np.int64]]],
    ) -> None:
        """Add each part, (column of the causes, seconds of each row), to the requests that ran meanwhile."""
        cut = np.asarray(self.segments, dtype=np.int64).reshape(-1, 4)
        order = np.argsort(replica, kind="stable")
        ends = np.flatnonzero(np.diff(replica[order])) + 1
        total = np.empty(len(replica))
        for column, seconds in parts:
            for rows in np.split(order, ends):
                total[rows] = np.cumsum(seconds[rows])
            for phase, begin, end in whole:
                causes = _phase(outcome, phase)
                done = end >= 0
                causes[done, column] += total[end[done]] - total[begin[done]]
                here = cut[cut[:, 3] == phase]
                np.add.at(causes, (here[:, 0], column), total[here[:, 2]] - total[here[:, 1]])

    def _put_aside(
        self,
        outcome: Outcome,
        spans: NDArray[np.float64],
        table: NDArray[np.float64],
        decoding: Sequence[tuple[int, NDArray[np.int64], NDArray[np.int64]]],
    ) -> None:
        """What passed in steps of prompts is queueing to those who decode, but for who took part in one."""
        prompts = (table[:, _KIND] < 0) & (table[:, _STEPS] > 0)
        aside = np.where(prompts[:, None], spans, 0.0)
        parts = [(column, -seconds) for column, seconds in zip(_COLUMNS, aside.T, strict=True)]
        self._components(outcome, [*parts, (QUEUE, aside.sum(axis=1))], table[:, _REPLICA], decoding)
        for request, row in self.took_part:
            causes = outcome.decode_causes_s[request]
            causes[list(_COLUMNS)] += aside[row]
            causes[QUEUE] -= aside[row].sum()

    def _misses(self, outcome: Outcome, spans: NDArray[np.float64], durations: NDArray[np.float64]) -> None:
        for request, row, phase in self.missed:
            causes = _phase(outcome, phase)[request]
            causes[QUEUE] += durations[row]
            causes[FIRST_COMPONENT:] -= spans[row, 1:]

    def _gaps(
        self, table: NDArray[np.float64], durations: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Step durations as felt, with the number of sequences that felt them.

        The durations of a span lie on a line. If a run has more than four million steps, neighbours within
        a span are joined, at their mean.
        """
        felt = (table[:, _STEPS] > 0) & (table[:, _DECODES] > 0)
        steps = table[felt, _STEPS].astype(np.int64)
        weight = table[felt, _DECODES].astype(np.int64)
        join = max(1, -(-int(steps.sum()) // _MOST_ITL_POINTS))
        points = -(-steps // join)
        kind = table[felt, _KIND].astype(np.int64)
        start_s = durations[felt] / np.maximum(steps, 1)
        slope_s = np.zeros(len(steps))
        lined = (kind >= 0) & (steps > 1)
        if lined.any():
            slope = np.asarray([line.slope.total for line in self.lines])[kind[lined]]
            drift = 2.0 * (table[felt, _CONTEXTS][lined] / steps[lined] - table[felt, _CONTEXT][lined])
            slope_s[lined] = slope * drift / (steps[lined] - 1)
        which = np.repeat(np.arange(len(steps)), points)
        begin = (np.arange(len(which)) - np.repeat(np.cumsum(points) - points, points)) * join
        count = np.minimum(join, steps[which] - begin)
        middle = begin + (count - 1) / 2 - (steps[which] - 1) / 2
        gaps = np.asarray([*self.gaps_s, *(gap for gap, _ in self.joint_gaps_s)], dtype=np.float64)
        alike = np.ones(len(gaps), dtype=np.int64)
        alike[len(self.gaps_s) :] = [count for _, count in self.joint_gaps_s]
        seconds = np.concatenate((start_s[which] + slope_s[which] * middle, gaps))
        return seconds, np.concatenate((weight[which] * count, alike))


def _phase(outcome: Outcome, phase: int) -> NDArray[np.float64]:
    return outcome.decode_causes_s if phase == DECODE else outcome.ttft_causes_s
