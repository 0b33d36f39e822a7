"""One streamed answer, with the time at which each part of it arrived."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any

import aiohttp

from advisor.errors import MeasurementError
from calibration.replay.completion import Completion, FailedError, read_completion, streams

_DEFAULT_RETRY_S = 1.0


@dataclass(slots=True)
class Answer:
    """Times are of `perf_counter`; parts that came in one read have one time."""

    status: int
    sent_s: float
    prompt_tokens: int = -1
    output_tokens: int = 0
    cached_tokens: int = 0
    part_s: list[float] = field(default_factory=list)
    retry_after_s: float = _DEFAULT_RETRY_S
    said: str = ""

    @property
    def ttft_s(self) -> float:
        """First part minus send."""
        return self.part_s[0] - self.sent_s

    @property
    def tokens_a_part(self) -> float:
        """1 without speculation; more where the engine accepts drafts (or the server packs tokens)."""
        return self.output_tokens / len(self.part_s)


async def read_answer(
    session: aiohttp.ClientSession,
    url: str,
    body: dict[str, Any],
    begun: asyncio.Event | None = None,
    timeout_s: float = 300.0,
) -> Answer:
    """Send a request and read it to its end; refusals come back as an answer with their status.

    Raises:
        MeasurementError: what comes is no stream of completions with usage.
        aiohttp.ClientError: the connection fails.
        TimeoutError: `timeout_s` is up.
    """
    sent_s = perf_counter()
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with session.post(url, json=body, allow_redirects=False, timeout=timeout) as response:
        if response.status != 200:
            text = (await response.content.read(4096)).decode("utf-8", "replace")
            return Answer(
                response.status,
                sent_s,
                retry_after_s=_seconds(
                    response.headers.get("Retry-After", ""), response.headers.get("Date", "")
                ),
                said=response.headers.get("Location", "") or _message(text),
            )
        if not streams(response):
            raise MeasurementError(f"{url}: does not stream; it answers without text/event-stream.")
        found = Completion(body["max_tokens"])
        await _read(response, found, url, begun)
    answer = Answer(200, sent_s, part_s=found.part_s, cached_tokens=found.cached_tokens)
    answer.output_tokens, answer.prompt_tokens = (
        found.count("completion_tokens"),
        found.count("prompt_tokens"),
    )
    if answer.output_tokens < 0:
        raise MeasurementError(f"{url}: sends no usage, so tokens cannot be counted.")
    if not answer.part_s or answer.output_tokens < 1:
        raise MeasurementError(f"{url}: sends no tokens.")
    return answer


async def _read(
    response: aiohttp.ClientResponse, found: Completion, url: str, begun: asyncio.Event | None
) -> None:
    """Read to the end; what is wrong with the stream is said of the server (MeasurementError)."""
    try:
        await read_completion(response, found, begun=begun)
    except FailedError as failed:
        raise MeasurementError(f"{url}: fails in the middle of an answer: {_message(str(failed))}") from None
    except MeasurementError as error:
        raise MeasurementError(f"{url}: {error}") from None
    if not found.done:
        raise MeasurementError(f"{url}: breaks off in the middle of an answer.")


def _seconds(text: str, date: str) -> float:
    """Retry-After, seconds or an HTTP date (RFC 9110, 10.2.3), as seconds; nonsense counts as the default.

    A date is taken from the server's own `Date`, so that neither clock need be right; else from ours.
    """
    try:
        found = float(text)
    except ValueError:
        at, now = _moment(text), _moment(date) or datetime.now(UTC)
        found = math.nan if at is None else (at - now).total_seconds()
    return max(0.0, found) if math.isfinite(found) else _DEFAULT_RETRY_S


def _moment(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _message(text: str) -> str:
    """The server's own words in an error body, on one line."""
    try:
        body = json.loads(text)
        error = body.get("error", body)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:200]
