"""One thread owns the engine. Read `EngineLoop._run` first.

Asyncio tasks submit requests and get a queue of what each step gave them. Everything that touches the engine
is a call that the thread makes between two steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple, TypeVar

from advisor.errors import InputError
from calibration.engine.engine import Engine
from calibration.engine.requests import LiveRequest, TokenOutput
from calibration.engine.sampler import Sampling
from calibration.server.metrics import Metrics

_T = TypeVar("_T")
_IDLE_S = 0.5
_LOAD_WAIT_S = 0.02


class OverloadedError(Exception):
    """As many requests are unfinished as the server takes."""


class EngineFailedError(Exception):
    """The engine's thread has ended: of a bug, or because the server stops."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, checked by the protocol, unchecked by the engine."""

    prompt: Sequence[int]
    adapter: str | None
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    ignore_eos: bool = False
    stops: tuple[int, ...] = ()
    priority: int = 0


@dataclass(slots=True)
class Answer:
    """Handle of a request: parts come out of the queue, the last one has a reason."""

    number: int
    parts: asyncio.Queue[TokenOutput]


@dataclass(slots=True)
class _Underway:
    loop: asyncio.AbstractEventLoop
    parts: asyncio.Queue[TokenOutput]
    arrived_s: float
    live: LiveRequest
    first_s: float = 0.0
    last_s: float = 0.0
    tokens: int = 0


class _Call(NamedTuple):
    work: Callable[[], None]
    fail: Callable[[], None]


class EngineLoop:
    """Starts and stops the thread."""

    def __init__(self, engine: Engine, metrics: Metrics, max_outstanding: int) -> None:
        self.engine = engine
        self.metrics = metrics
        self.failed: BaseException | None = None
        self._most = max_outstanding
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._underway: dict[int, _Underway] = {}
        self._entering = 0  # handed over, not yet seen by the engine's thread
        self._stopping = False
        self._ended = False  # no call will be made any more
        self._thread = threading.Thread(target=self._guarded, name="engine", daemon=True)

    def start(self) -> None:
        """Run the engine from now on."""
        self._thread.start()

    def stop_soon(self) -> None:
        """End the thread after the present step; unfinished requests end as aborted. Does not wait."""
        self._stopping = True
        self._calls.put(_Call(_nothing, _nothing))

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.stop_soon()
        self._thread.join(timeout=30)
        self.engine.close()

    @property
    def outstanding(self) -> int:
        """Unfinished requests."""
        return len(self._underway)

    def check(self) -> None:
        """Whether calls are made.

        Raises:
            EngineFailedError: no more.
        """
        if self.failed is not None:
            raise EngineFailedError("the engine failed; restart the server.")
        if self._stopping:
            raise EngineFailedError("the server stops.")

    async def submit(self, ask: Ask) -> Answer:
        """Hand a request to the engine. Its latencies count from here.

        Raises:
            InputError: the engine refuses it.
            OverloadedError: too many are unfinished.
            EngineFailedError: the engine's thread has ended.
        """
        if len(self._underway) + self._entering >= self._most:
            raise OverloadedError
        loop, arrived_s = asyncio.get_running_loop(), perf_counter()
        parts: asyncio.Queue[TokenOutput] = asyncio.Queue()

        def enter() -> int:
            number = self.engine.add_request(
                ask.prompt,
                adapter=ask.adapter,
                max_tokens=ask.max_tokens,
                sampling=ask.sampling,
                ignore_eos=ask.ignore_eos,
                stops=ask.stops,
                priority=ask.priority,
            )
            self._underway[number] = _Underway(loop, parts, arrived_s, self.engine.live(number))
            return number

        self._entering += 1
        try:
            return Answer(await self.call(enter), parts)
        finally:
            self._entering -= 1

    async def call(self, work: Callable[[], _T]) -> _T:
        """Do something with the engine between two steps.

        Raises:
            EngineFailedError: the engine's thread has ended.
        """
        self.check()
        done: Future[_T] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return  # nobody waits for it any more
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                done.set_exception(error)

        def fail() -> None:
            if done.set_running_or_notify_cancel():
                done.set_exception(EngineFailedError("the engine has ended."))

        self._calls.put(_Call(run, fail))
        if self._ended:
            self._fail_calls()
        return await asyncio.wrap_future(done)

    def abort(self, number: int, reason: str = "abort") -> None:
        """End a request, from any thread; nothing happens if it has ended. A stop string's reason is stop."""
        self._calls.put(_Call(lambda: self._forget(number, reason), _nothing))

    def _forget(self, number: int, reason: str) -> None:
        self.engine.abort(number)
        one = self._underway.pop(number, None)
        if one is not None:
            self._note_end(one, reason, one.last_s)

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.failed = error
            self._end_all("error", "the engine failed; see the server's log.")
            raise
        finally:
            self._ended = True
            self._fail_calls()

    def _run(self) -> None:
        """Calls first, then a step; idle, wait for a call."""
        while not self._stopping:
            self._make_calls(wait=not self.engine.busy)
            if not self.engine.busy:
                continue
            outputs = self.engine.step()
            self.metrics.stepped(self.engine)
            for output in outputs:
                self._hand_out(output)
            self._note_adapters()
            if not outputs:
                self.engine.wait(_LOAD_WAIT_S)
        for number in self._underway:
            self.engine.abort(number)
        self._end_all("abort", "the server stops.")

    def _end_all(self, reason: str, sentence: str) -> None:
        """Tell every client that its request has ended."""
        for number, one in self._underway.items():
            self.metrics.finished(reason)
            self._send(one, TokenOutput(number, (), perf_counter(), "error", sentence))
        self._underway = {}

    def _make_calls(self, *, wait: bool) -> None:
        with contextlib.suppress(queue.Empty):
            if wait:
                self._calls.get(timeout=_IDLE_S).work()
            while True:
                self._calls.get_nowait().work()

    def _fail_calls(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait().fail()

    def _hand_out(self, output: TokenOutput) -> None:
        one = self._underway.get(output.request)
        if one is None:
            return
        now = perf_counter()
        if output.tokens:
            if not one.tokens:
                one.first_s = now
                scheduled_s = one.live.scheduled_s or now
                prompt = one.live.request.prompt_tokens
                self.metrics.first_token(scheduled_s - one.arrived_s, now - one.arrived_s, prompt)
            else:
                self.metrics.next_tokens(now - one.last_s, len(output.tokens))
            one.tokens += len(output.tokens)
            one.last_s = now
        if output.reason is not None:
            del self._underway[output.request]
            self._note_end(one, output.reason, now)
        self._send(one, output)

    def _note_end(self, one: _Underway, reason: str, now: float) -> None:
        self.metrics.ended(reason, now - one.arrived_s, one.first_s, now, one.tokens)

    def _note_adapters(self) -> None:
        running = {one.live.adapter for one in self._underway.values() if one.live.scheduled_s is not None}
        waiting = {one.live.adapter for one in self._underway.values() if one.live.scheduled_s is None}
        self.metrics.lora(_joined(running), _joined(waiting), self.engine.limits.max_loras)

    @staticmethod
    def _send(one: _Underway, output: TokenOutput) -> None:
        with contextlib.suppress(RuntimeError):  # the client's loop is gone
            one.loop.call_soon_threadsafe(one.parts.put_nowait, output)


def refused(error: Exception) -> str:
    """The sentence of what the engine refused."""
    return " ".join(error.sentences) if isinstance(error, InputError) else str(error)


def _joined(names: set[str | None]) -> str:
    return ",".join(sorted(name for name in names if name))


def _nothing() -> None:
    pass
