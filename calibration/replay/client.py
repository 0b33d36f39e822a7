"""Replay against an OpenAI-compatible server: open loop, every request at its own time.

Latency counts from the time at which a request should have been sent, so a slow client or a full connection
pool cannot hide waiting (coordinated omission); the client's own lateness is measured beside it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from advisor.errors import InputError, MeasurementError
from advisor.replayed import OK
from advisor.trace.trace import BASE, Trace
from calibration.replay.completion import Completion, EndlessError, FailedError, read_completion, streams
from calibration.replay.failures import LATER, why
from calibration.replay.journal import Journal
from calibration.replay.rows import Row
from calibration.replay.servers import ServerKind, body_of

Progress = Callable[[float, str], None]
_READ_BYTES: Final = 2**21
_START_S: Final = 0.05
_HOPELESS: Final = 20
_LEAST_S: Final = 0.001  # 0 would be no limit


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and how to ask it."""

    url: str
    model: str
    kind: ServerKind
    adapters: Mapping[str, str] = field(default_factory=dict)  # trace's name -> the server's
    api_key_env: str = ""
    timeout_s: float = 300.0
    max_concurrency: int = 1000

    def endpoint(self) -> str:
        """Address of completions (InputError if the URL is none)."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise InputError(f"--url is {self.url!r}; allowed: http://HOST:PORT, keys only by --api-key-env.")
        return self.url.rstrip("/").removesuffix("/v1") + "/v1/completions"

    def name_of(self, adapter: str) -> str:
        """The server's name of an adapter of the trace."""
        return self.adapters.get(adapter, adapter)

    def headers(self) -> dict[str, str]:
        """The key, from the environment alone (InputError if the variable is empty)."""
        if not self.api_key_env:
            return {}
        key = os.environ.get(self.api_key_env, "")
        if not key:
            raise InputError(
                f"--api-key-env is {self.api_key_env}, which is empty; allowed: a variable with the key."
            )
        return {"Authorization": f"Bearer {key}"}


async def replay_url(
    target: Target,
    trace: Trace,
    prompts: Sequence[list[int]] | Sequence[str],
    *,
    speed: float = 1.0,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Send every request at its time; rows in the trace's order.

    Requests that a journal has are not sent again; the others keep their times, counted from now.

    Raises:
        InputError: the URL, the key's variable, or an adapter's name.
        MeasurementError: the server cannot be reached, or refuses the first request for good.
    """
    run = _Run(target, trace, prompts, speed, journal, progress or (lambda _share, _what: None))
    return await run.go()


class _Run:
    """One replay; `go` is the loop."""

    def __init__(
        self,
        target: Target,
        trace: Trace,
        prompts: Sequence[list[int]] | Sequence[str],
        speed: float,
        journal: Journal | None,
        tell: Progress,
    ) -> None:
        self._target, self._trace, self._prompts = target, trace, prompts
        self._journal, self._tell = journal, tell
        known = {} if journal is None else journal.rows
        self.rows = [known.get(index) or Row() for index in range(len(trace))]
        self._todo = [index for index in range(len(trace)) if index not in known]
        times = (trace.arrival_s / speed).tolist()
        shift = times[self._todo[0]] if known and self._todo else 0.0
        self._due = {index: times[index] for index in self._todo}
        self._shift = shift
        self._seats = asyncio.Semaphore(target.max_concurrency)
        self._start_s = 0.0
        self._ended = len(trace) - len(self._todo)
        self._ends: Counter[str] = Counter()  # of this run; what is under way has not ended

    async def go(self) -> list[Row]:
        url, headers = self._target.endpoint(), self._target.headers()
        for name in self._trace.adapters:
            body_of(self._target.kind, self._target.model, self._target.name_of(name), "", 1)
        timeout = aiohttp.ClientTimeout(total=self._target.timeout_s)
        connector, watch = aiohttp.TCPConnector(limit=0), aiohttp.TraceConfig()
        watch.on_connection_reuseconn.append(_note_kept)
        async with aiohttp.ClientSession(
            headers=headers,
            timeout=timeout,
            connector=connector,
            read_bufsize=_READ_BYTES,
            trace_configs=[watch],
        ) as session:
            self._start_s = perf_counter() + _START_S - self._shift
            tasks: set[asyncio.Task[None]] = set()
            for index in self._todo:
                delay = self._start_s + self._due[index] - perf_counter()
                if delay > 0:
                    await asyncio.sleep(delay)
                task = asyncio.create_task(self._one(session, url, index))
                tasks.add(task)
                task.add_done_callback(partial(_forget, tasks))
                await self._stop_if_hopeless(tasks)
            if tasks:
                await asyncio.gather(*tasks)
        self._nothing_answered()
        return self.rows

    def _nothing_answered(self) -> None:
        """A replay without an answer measured nothing (MeasurementError)."""
        kinds = Counter(row.status for row in self.rows)
        if kinds[OK] or not kinds:
            return
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        said = why(next(iter(kinds))) if len(kinds) == 1 else f"answered no request: {listed}."
        raise MeasurementError(f"{self._target.url}: {said} None of {len(self.rows)} requests was answered.")

    async def _stop_if_hopeless(self, tasks: set[asyncio.Task[None]]) -> None:
        """A server that refuses everything is not worth the rest of the trace; one that says later may be."""
        if self._ends.total() < _HOPELESS or len(self._ends) > 1 or set(self._ends) & {OK, *LATER}:
            return
        for task in tasks:
            task.cancel()
        (status,) = self._ends
        raise MeasurementError(
            f"{self._target.url}: {why(status)} Stopped after {self._ends.total()} requests."
        )

    async def _one(self, session: aiohttp.ClientSession, url: str, index: int) -> None:
        """One request, from its time to its end; whatever goes wrong is its status."""
        row = self.rows[index] = Row(status="cut_off")
        async with self._seats:
            row.sent_s = perf_counter() - self._start_s
            try:
                await self._ask(session, url, index, row)
            except asyncio.CancelledError:
                row.status = "not_sent"
                raise
            except TimeoutError:
                row.status = "timeout"
            except aiohttp.ClientConnectionError as error:
                row.status = "cut_off" if was_closed(error) else "connection"
            except (aiohttp.ClientPayloadError, ConnectionResetError):
                row.status = "cut_off"
            except FailedError:
                row.status = "server_error"
            except EndlessError:
                row.status = "endless"
            except (aiohttp.ClientError, MeasurementError, ValueError):
                row.status = "malformed"
        self._ended += 1
        self._ends[row.status] += 1
        if self._journal is not None:
            self._journal.add(index, row)
        self._tell(self._ended / len(self.rows), f"{self._ended} of {len(self.rows)} requests")

    async def _ask(self, session: aiohttp.ClientSession, url: str, index: int, row: Row) -> None:
        trace, target = self._trace, self._target
        adapter, wanted = int(trace.adapter[index]), int(trace.output_tokens[index])
        name = None if adapter == BASE else target.name_of(trace.adapters[adapter])
        body = body_of(target.kind, target.model, name, self._prompts[index], wanted)
        response = await self._post(session, url, body, row)
        async with response:
            if response.status != 200:
                row.status = f"http_{response.status}"
                return
            if not streams(response):
                row.status = "not_streaming"
                return
            await self._read(response, row, wanted)

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: dict[str, Any], row: Row
    ) -> aiohttp.ClientResponse:
        """Send; once more if a kept connection turns out closed. The time for both is that of one."""
        told, began_s = {"kept": False}, perf_counter()
        try:
            return await session.post(url, json=body, allow_redirects=False, trace_request_ctx=told)
        except aiohttp.ClientConnectionError as error:
            if not (told["kept"] and was_closed(error)):
                raise
        row.again += 1
        left_s = max(self._target.timeout_s - (perf_counter() - began_s), _LEAST_S)
        timeout = aiohttp.ClientTimeout(total=left_s)
        return await session.post(url, json=body, allow_redirects=False, timeout=timeout)

    async def _read(self, response: aiohttp.ClientResponse, row: Row, wanted_tokens: int) -> None:
        """Times of the parts; tokens from usage, which knows better than parts."""
        found = Completion(wanted_tokens, row.chunk_s)
        try:
            await read_completion(response, found, zero_s=self._start_s)
        finally:
            row.chunk_tokens = [1] * len(row.chunk_s)
        if not found.done:
            row.status = "cut_off"
        elif found.count("completion_tokens") < 0:
            row.status = "no_usage"
        elif not row.chunk_s:
            row.status = "no_tokens"
        else:
            row.output_tokens = found.count("completion_tokens")
            row.prompt_tokens, row.cached_tokens = found.count("prompt_tokens"), found.cached_tokens
            _spread(row)
            row.status = OK


def was_closed(error: BaseException) -> bool:
    """Whether a server closed the connection before it answered: often an idle one, and it read nothing."""
    closed = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError))
    return closed and not isinstance(error, aiohttp.ClientConnectorError)


async def _note_kept(
    _: aiohttp.ClientSession, context: Any, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    """What aiohttp calls for a request that goes over a connection which an earlier one opened."""
    if context.trace_request_ctx is not None:
        context.trace_request_ctx["kept"] = True


def _forget(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """A task that ended is not waited for; one that failed is kept, so that a fault of ours shows."""
    if task.cancelled() or task.exception() is None:
        tasks.discard(task)


def _spread(row: Row) -> None:
    """Parts that hold several tokens: what usage counts more than parts goes to the later ones, evenly."""
    parts = len(row.chunk_s)
    more = max(row.output_tokens - parts, 0)
    each, rest = divmod(more, parts)
    row.chunk_tokens = [1 + each + (place >= parts - rest) for place in range(parts)]
