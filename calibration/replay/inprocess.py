"""Replay against an engine in this process: no network, the engine's own clock, every step recorded."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from advisor.errors import InputError
from advisor.replayed import OK, ReplayResult
from advisor.trace.trace import BASE, Trace
from calibration.engine.engine import Engine
from calibration.engine.requests import LiveRequest, TokenOutput
from calibration.engine.sampler import Sampling
from calibration.replay.rows import Row, result_of

Progress = Callable[[float, str], None]
_SPIN_S = 0.0005
_MOST_WAIT_S = 0.05


def replay_engine(
    engine: Engine,
    trace: Trace,
    prompts: Sequence[Sequence[int]],
    *,
    speed: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> ReplayResult:
    """Send each request at its time, between two steps, and step until all are answered.

    Args:
        engine: nothing under way; adapters registered under the trace's names.
        trace: times, answer lengths (forced), adapters, priorities.
        prompts: token ids, one list a request.
        speed: times are divided by it.
        seed: of sampling; temperature is 0.
        progress: told the share that is answered.

    Raises:
        InputError: the engine is busy, an adapter is unknown, or a request can never fit.
    """
    if engine.busy:
        raise InputError("replay: the engine has requests under way; allowed: none.")
    asked = {trace.adapters[index] for index in set(trace.adapter.tolist()) if index != BASE}
    if missing := sorted(asked - set(engine.adapters)):
        known = ", ".join(engine.adapters) or "none"
        raise InputError(f"replay: adapters of the trace are {', '.join(missing)}; allowed: {known}.")
    run = _Run(engine, trace, prompts, speed, seed)
    with _no_garbage_collection():
        run.go(progress or (lambda _share, _what: None))
    return run.result()


class _Run:
    """One replay; `go` is the loop."""

    def __init__(
        self, engine: Engine, trace: Trace, prompts: Sequence[Sequence[int]], speed: float, seed: int
    ) -> None:
        self._engine, self._trace, self._prompts = engine, trace, prompts
        self._speed, self._seed = speed, seed
        self._times = (trace.arrival_s / speed).tolist()
        self._rows = [Row() for _ in self._times]
        self._row_of: dict[int, int] = {}
        self._live: dict[int, LiveRequest] = {}
        self._next = 0
        self._start_s = 0.0
        self._free_s = 0.0  # when the engine's last step was over: nothing can be entered within a step
        self._before = dict(_totals(engine))

    def go(self, tell: Progress) -> None:
        """Until all are answered: enter what is due, step; idle, sleep until the next is due."""
        engine, count, answered = self._engine, len(self._times), 0
        self._start_s = engine.now_s() + 0.005
        while self._next < count or engine.busy:
            self._enter_due()
            if not engine.busy:
                self._sleep()
                continue
            outputs = engine.step()
            self._free_s = engine.now_s() - self._start_s
            answered += sum(map(self._note, outputs))
            if not outputs:
                engine.wait(_MOST_WAIT_S)
            tell(answered / count, f"{answered} of {count} requests")

    def _enter_due(self) -> None:
        now = self._engine.now_s() - self._start_s
        while self._next < len(self._times) and self._times[self._next] <= now:
            self._enter(self._next, now)
            self._next += 1

    def _enter(self, index: int, now: float) -> None:
        trace = self._trace
        adapter = int(trace.adapter[index])
        number = self._engine.add_request(
            self._prompts[index],
            adapter=None if adapter == BASE else trace.adapters[adapter],
            max_tokens=int(trace.output_tokens[index]),
            sampling=Sampling(seed=self._seed + index),
            ignore_eos=True,
            priority=0 if trace.priority is None else int(trace.priority[index]),
        )
        self._row_of[number] = index
        self._live[index] = self._engine.live(number)
        row = self._rows[index]
        row.sent_s, row.late_s = now, now - max(self._times[index], self._free_s)

    def _note(self, output: TokenOutput) -> int:
        """Book what a step gave; 1 if the request has ended."""
        index = self._row_of[output.request]
        row = self._rows[index]
        if output.tokens:
            row.chunk_s.append(output.at_s - self._start_s)
            row.chunk_tokens.append(len(output.tokens))
            row.output_tokens += len(output.tokens)
        if output.reason is None:
            return 0
        live = self._live.pop(index)
        ended = output.reason in ("length", "stop")
        row.status = OK if ended else f"engine: {output.error or output.reason}"
        row.scheduled_s = float("nan") if live.scheduled_s is None else live.scheduled_s - self._start_s
        row.preemptions, row.verify_steps = live.request.preemptions, live.verify_steps
        row.cached_tokens = max(live.request.cached_tokens, 0)
        return 1

    def _sleep(self) -> None:
        """Sleep, and spin for the last half millisecond: sleeping is not that exact."""
        due = self._start_s + self._times[self._next]
        while (left := due - self._engine.now_s()) > 0:
            if left > 2 * _SPIN_S:
                time.sleep(min(left - _SPIN_S, _MOST_WAIT_S))

    def result(self) -> ReplayResult:
        """All rows, with the engine's totals of this replay."""
        engine = self._engine
        counters = {name: value - self._before.get(name, 0.0) for name, value in _totals(engine).items()}
        steps = list(engine.books.steps)[-int(counters["steps"]) :] if counters["steps"] else []
        spans = [step.end_s - step.start_s for step in steps]
        weighed = sum(step.running * span for step, span in zip(steps, spans, strict=True))
        counters["busy_s"] = sum(spans)
        counters["mean_batch"] = weighed / counters["busy_s"] if steps else 0.0
        model = engine.architecture.shape.name
        header = {"target": "builtin", "engine": "builtin", "model": model, "seed": self._seed}
        return result_of(self._trace, self._rows, self._speed, header, counters)


def _totals(engine: Engine) -> dict[str, float]:
    counters = engine.books.counters
    found = {
        name: float(getattr(counters, name))
        for name in (
            "steps", "prompt_tokens", "cached_tokens", "emitted_tokens", "preemptions", "loads_from_disk",
            "loads_from_cpu", "failed_loads",
        )
    }  # fmt: skip
    found["load_s"] = sum(load.disk_s + load.slot_s for load in engine.books.loads)
    found["drafted_tokens"] = float(sum(counters.drafted))
    found["accepted_tokens"] = float(sum(counters.accepted))
    found |= {f"drafted_{i + 1}": float(n) for i, n in enumerate(counters.drafted)}
    found |= {f"accepted_{i + 1}": float(n) for i, n in enumerate(counters.accepted)}
    return found


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Python's collector would stop a step now and then for as long as many steps take."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
