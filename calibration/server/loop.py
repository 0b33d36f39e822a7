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
from typing import TypeVar

from advisor.errors import InputError
from calibration.engine.engine import Engine
from calibration.engine.requests import TokenOutput
from calibration.engine.sampler import Sampling
from calibration.server.metrics import Metrics

_T = TypeVar("_T")
_IDLE_S = 0.5
_LOAD_WAIT_S = 0.02


class OverloadedError(Exception):
    """As many requests are unfinished as the server takes."""


class EngineFailedError(Exception):
    """The engine thread has died of a bug; the server must be restarted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, checked by the protocol, unchecked by the engine."""

    prompt: Sequence[int]
    adapter: str | None
    max_tokens: int
    min_tokens: int = 0
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
    prompt_tokens: int
    adapter: str | None
    first_s: float = 0.0
    last_s: float = 0.0
    tokens: int = 0


class EngineLoop:
    """Starts and stops the thread."""

    def __init__(self, engine: Engine, metrics: Metrics, max_outstanding: int) -> None:
        self.engine = engine
        self.metrics = metrics
        self.failed: BaseException | None = None
        self._most = max_outstanding
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._underway: dict[int, _Underway] = {}
        self._entering = 0  # handed over, not yet seen by the engine's thread
        self._stopping = False
        self._thread = threading.Thread(target=self._guarded, name="engine", daemon=True)

    def start(self) -> None:
        """Run the engine from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the present step; unfinished requests are aborted."""
        self._stopping = True
        self._calls.put(lambda: None)
        self._thread.join(timeout=30)
        self.engine.close()

    @property
    def outstanding(self) -> int:
        """Unfinished requests."""
        return len(self._underway)

    async def submit(self, ask: Ask) -> Answer:
        """Hand a request to the engine.

        Raises:
            InputError: the engine refuses it.
            OverloadedError: too many are unfinished.
            EngineFailedError: the engine has died.
        """
        if len(self._underway) + self._entering >= self._most:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        parts: asyncio.Queue[TokenOutput] = asyncio.Queue()

        def enter() -> int:
            number = self.engine.add_request(
                ask.prompt,
                adapter=ask.adapter,
                max_tokens=ask.max_tokens,
                sampling=ask.sampling,
                ignore_eos=ask.ignore_eos or ask.min_tokens >= ask.max_tokens,
                stops=ask.stops,
                priority=ask.priority,
            )
            now = perf_counter()
            self._underway[number] = _Underway(loop, parts, now, len(ask.prompt), ask.adapter)
            return number

        self._entering += 1
        try:
            return Answer(await self.call(enter), parts)
        finally:
            self._entering -= 1

    async def call(self, work: Callable[[], _T]) -> _T:
        """Do something with the engine between two steps.

        Raises:
            EngineFailedError: the engine has died.
        """
        if self.failed is not None:
            raise EngineFailedError
        done: Future[_T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                done.set_exception(error)

        self._calls.put(run)
        return await asyncio.wrap_future(done)

    def abort(self, number: int) -> None:
        """Forget a request, from any thread; nothing happens if it has ended."""
        self._calls.put(lambda: self._forget(number))

    def _forget(self, number: int) -> None:
        self.engine.abort(number)
        if self._underway.pop(number, None) is not None:
            self.metrics.finished("abort")

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.failed = error
            for number, one in self._underway.items():
                sentence = "the engine failed; see the server's log."
                self._send(one, TokenOutput(number, (), perf_counter(), "error", sentence))
            raise

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
            names = sorted({one.adapter for one in self._underway.values() if one.adapter})
            self.metrics.lora(",".join(names), self.engine.limits.max_loras)
            if not outputs:
                self.engine.wait(_LOAD_WAIT_S)
        for number in list(self._underway):
            one = self._underway[number]
            self._forget(number)
            self._send(one, TokenOutput(number, (), perf_counter(), "abort", "the server stops."))

    def _make_calls(self, *, wait: bool) -> None:
        with contextlib.suppress(queue.Empty):
            if wait:
                self._calls.get(timeout=_IDLE_S)()
            while True:
                self._calls.get_nowait()()

    def _hand_out(self, output: TokenOutput) -> None:
        one = self._underway.get(output.request)
        if one is None:
            return
        now = perf_counter()
        if output.tokens:
            if not one.tokens:
                one.first_s = now
                self.metrics.first_token(now - one.arrived_s, one.prompt_tokens)
            else:
                self.metrics.next_tokens(now - one.last_s, len(output.tokens))
            one.tokens += len(output.tokens)
            one.last_s = now
        if output.reason is not None:
            del self._underway[output.request]
            self.metrics.ended(output.reason, now - one.arrived_s, one.first_s, now, one.tokens)
        self._send(one, output)

    @staticmethod
    def _send(one: _Underway, output: TokenOutput) -> None:
        with contextlib.suppress(RuntimeError):  # the client's loop is gone
            one.loop.call_soon_threadsafe(one.parts.put_nowait, output)


def refused(error: Exception) -> str:
    """The sentence of what the engine refused."""
    return " ".join(error.sentences) if isinstance(error, InputError) else str(error)
