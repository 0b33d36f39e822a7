"""One server, asked politely: few requests at a time, bounded in number and time, Retry-After honoured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from advisor.errors import InputError, MeasurementError
from calibration.endpoint.answer import Answer, read_answer
from calibration.replay.client import Target, was_closed
from calibration.replay.servers import body_of

_READ_BYTES: Final = 2**21
_PAGE_BYTES: Final = 16 * 2**20
"""A list of models or of metrics has some thousands."""
_BUSY: Final = (429, 503)
_MOST_RETRIES: Final = 5
_LEAST_S: Final = 0.1
_PAGE_S: Final = 10.0
_PAGE_SHARE: Final = 0.25
_PAGE_LEAST_S: Final = 2.0
"""A page may take a quarter of the budget, within these; one that took longer is not asked for again."""
_KEEP_S: Final = 2.0
"""Idle connections are closed before servers close them (uvicorn: 5 s), which would look like a failure."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a calibration may cost the server."""

    budget_s: float
    max_requests: int
    max_concurrency: int


class SpentError(Exception):
    """The budget or the number of requests is used up; what was measured counts."""


@dataclass(slots=True)
class Waits:
    """How often the server asked to come back later."""

    times: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Prober:
    """Sends requests to one URL and to no other; `async with` opens and closes the connections."""

    target: Target
    bounds: Bounds
    sent: int = 0
    waits: Waits = field(default_factory=Waits)
    closed: int = 0  # connections that the server closed before it answered
    _silent: set[str] = field(default_factory=set)  # pages that did not come in time
    _session: aiohttp.ClientSession | None = None
    _began_s: float = 0.0

    async def __aenter__(self) -> Self:
        headers = self.target.headers()
        self.target.endpoint()
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=self.bounds.max_concurrency + 1, keepalive_timeout=_KEEP_S),
            read_bufsize=_READ_BYTES,
        )
        self._began_s = perf_counter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._began_s

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.bounds.budget_s - self.spent_s

    @property
    def root(self) -> str:
        """The server without /v1/completions."""
        return self.target.endpoint().removesuffix("/v1/completions")

    async def ask(
        self,
        prompt: list[int] | str,
        tokens: int,
        adapter: str | None = None,
        *,
        begun: asyncio.Event | None = None,
    ) -> Answer:
        """Send one request and read its answer; a busy server is asked again after the time that it names.

        Args:
            prompt: token ids or text.
            tokens: wanted answer length.
            adapter: its name there; None: the base.
            begun: set when the first token is there.

        Raises:
            SpentError: nothing may be sent any more.
            MeasurementError: the server cannot be reached, refuses, does not stream, or breaks off.
        """
        body = body_of(self.target.kind, self.target.model, adapter, prompt, tokens)
        for turn in range(_MOST_RETRIES):
            answer = await self._answered(body, begun)
            if answer.status not in _BUSY:
                return self._checked(answer, adapter)
            wait_s = answer.retry_after_s
            if wait_s > self.left_s:
                raise SpentError(f"asks to come back in {wait_s:g} s, which is not")
            self.waits.times += 1
            if turn < _MOST_RETRIES - 1:
                self.waits.seconds += wait_s
                await asyncio.sleep(wait_s)
        raise MeasurementError(
            f"{self.target.url}: asked {_MOST_RETRIES} times to come back later. Lower --max-concurrency."
        )

    async def _answered(self, body: dict[str, Any], begun: asyncio.Event | None) -> Answer:
        """Send; once more where the connection closes before an answer: often an idle one, read by nobody."""
        self._count()
        try:
            return await self._once(body, begun)
        except (aiohttp.ClientConnectionError, ConnectionError):
            self.closed += 1
        self._count()
        return await self._once(body, begun, again=True)

    def _count(self) -> None:
        """One more request (SpentError: it may not be sent)."""
        if self.sent >= self.bounds.max_requests or self.left_s <= 0:
            raise SpentError
        self.sent += 1

    async def _once(
        self, body: dict[str, Any], begun: asyncio.Event | None, *, again: bool = False
    ) -> Answer:
        """Raises the error of a closed connection the first time, MeasurementError `again`."""
        assert self._session is not None
        timeout_s = min(self.target.timeout_s, max(self.left_s, _LEAST_S))
        try:
            return await read_answer(self._session, self.target.endpoint(), body, begun, timeout_s)
        except TimeoutError:
            if timeout_s < self.target.timeout_s:
                raise SpentError from None
            raise MeasurementError(
                f"{self.target.url}: no whole answer within {self.target.timeout_s:g} s (--timeout)."
            ) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            if was_closed(error) and not again:
                raise
            raise MeasurementError(f"{self.target.url}: {_reason(error)}") from None

    def _checked(self, answer: Answer, adapter: str | None) -> Answer:
        if answer.status == 200:
            return answer
        named = self.target.model if adapter is None else adapter
        option = "--model" if adapter is None else "--adapter"
        if answer.status == 404:
            raise InputError(
                f"{option} is {named!r}, and {self.target.endpoint()} answers 404; allowed: a name of its "
                "/v1/models, and the --url of an OpenAI-compatible server."
            )
        if answer.status in (301, 302, 303, 307, 308):
            raise MeasurementError(
                f"{self.target.url}: redirects to {answer.said or 'elsewhere'}; redirects are not followed. "
                "Give the final --url."
            )
        why = {401: "the key is missing or wrong. See --api-key-env.", 403: "the key may not do this."}
        said = why.get(answer.status, answer.said or "no reason given.")
        raise MeasurementError(f"{self.target.url}: answers {answer.status} for {named!r}: {said}")

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page; (0, "") where it cannot be had, does not end, or was late before."""
        assert self._session is not None
        most_s = min(_PAGE_S, max(_PAGE_SHARE * self.bounds.budget_s, _PAGE_LEAST_S))
        if path in self._silent:
            return 0, ""
        try:
            async with self._session.get(
                self.root + path, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=most_s)
            ) as page:
                content = await _whole(page)
                return (0, "") if content is None else (page.status, content.decode())
        except TimeoutError:
            self._silent.add(path)
        except (aiohttp.ClientError, UnicodeDecodeError):
            pass
        return 0, ""

    async def post(self, path: str, body: Mapping[str, str]) -> tuple[int, float]:
        """Status and seconds of a call that is no completion (MeasurementError if it breaks)."""
        assert self._session is not None
        began_s = perf_counter()
        try:
            async with self._session.post(
                self.root + path,
                json=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.target.timeout_s),
            ) as page:
                if await _whole(page) is None:
                    raise MeasurementError(f"{self.target.url}{path}: answers without end.")
                return page.status, perf_counter() - began_s
        except (aiohttp.ClientError, TimeoutError) as error:
            raise MeasurementError(f"{self.target.url}{path}: {_reason(error)}") from None


async def _whole(page: aiohttp.ClientResponse) -> bytes | None:
    """What a page holds; None where it is more than any page of such a server."""
    content = bytearray()
    async for piece in page.content.iter_any():
        content += piece
        if len(content) > _PAGE_BYTES:
            return None
    return bytes(content)


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its TLS certificate is not trusted ({error.certificate_error}). Use a host name that it covers."
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed. Is it https, and a TLS version that this machine allows?"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached ({error.os_error.strerror or error.os_error}). Is the server running?"
    if isinstance(error, aiohttp.ClientResponseError):
        return "answers with what is no HTTP. Is it an address of its API, with http or https as it has?"
    if isinstance(error, TimeoutError):
        return "no answer within --timeout."
    if was_closed(error) or isinstance(error, aiohttp.ClientPayloadError):
        return "breaks off in the middle of an answer."
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
