"""A streamed completion as it arrives: when each part came, what was counted, and whether it is whole."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import aiohttp

from advisor.errors import MeasurementError
from calibration.replay.sse import EventStream

_AFTER_DONE_S: Final = 1.0
"""A server that keeps an answer open after [DONE] is left after this time; the answer is whole."""
_MOST_COUNT: Final = 2**31 - 1
_PARTS_A_TOKEN: Final = 4
_MORE_PARTS: Final = 64
"""Half characters and empty parts are allowed for; beyond, an answer has no end."""


class BadStreamError(MeasurementError):
    """What comes is no event stream of completions."""


class EndlessError(MeasurementError):
    """Many more parts than tokens were asked for."""


class FailedError(MeasurementError):
    """The server says within the stream that it failed; the message is the server's event."""


@dataclass(slots=True)
class Completion:
    """One answer; `part_s` is filled while it comes, so that it holds what came of a broken one.

    Attributes:
        wanted_tokens: asked for.
        part_s: when each part with text arrived; parts that came in one read have one time.
        usage: the last count of tokens that was told; {}: none.
        done: [DONE] came.
    """

    wanted_tokens: int
    part_s: list[float] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    _events: EventStream = field(default_factory=EventStream)

    def feed(self, piece: bytes, now_s: float) -> None:
        """Take bytes that arrived at a time; what follows [DONE] is not read.

        Raises:
            BadStreamError: no event of completions, or a line or event without end.
            EndlessError: more parts than an answer of that length can have.
            FailedError: an error in mid-stream.
        """
        for data in () if self.done else self._events.feed(piece):
            if data == "[DONE]":
                self.done = True
                return
            event = _event(data)
            if event.get("error") is not None:
                raise FailedError(data)
            told = event.get("usage")
            self.usage = told if isinstance(told, dict) else self.usage
            if _has_text(event):
                self._part(now_s)

    def _part(self, now_s: float) -> None:
        most = _PARTS_A_TOKEN * self.wanted_tokens + _MORE_PARTS
        if len(self.part_s) == most:
            raise EndlessError(f"sends more than {most} parts of an answer of {self.wanted_tokens} tokens.")
        self.part_s.append(now_s)

    def count(self, name: str) -> int:
        """A count of `usage`; -1: not told, or no number of tokens."""
        return count_of(self.usage, name)

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from the prefix cache, as far as it is told."""
        return max(count_of(self.usage.get("prompt_tokens_details"), "cached_tokens"), 0)


async def read_completion(
    response: aiohttp.ClientResponse,
    found: Completion,
    *,
    zero_s: float = 0.0,
    begun: asyncio.Event | None = None,
) -> None:
    """Read an answer to its end; times are of `perf_counter` less `zero_s`. `begun` is set at the first part.

    Raises:
        MeasurementError: as `Completion.feed`.
        aiohttp.ClientError: the connection breaks before [DONE].
        TimeoutError: the session's time is up before [DONE].
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            async for piece, _ in response.content.iter_chunks():
                found.feed(piece, perf_counter() - zero_s)
                if begun is not None and found.part_s:
                    begun.set()
                if found.done and limit.when() is None:
                    limit.reschedule(loop.time() + _AFTER_DONE_S)
    except (aiohttp.ClientError, ConnectionResetError, TimeoutError):
        if not found.done:
            raise


def count_of(counts: Any, name: str) -> int:
    """A count of tokens; -1: not told, or nothing that can be one."""
    value = counts.get(name) if isinstance(counts, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return -1
    return value if 0 <= value <= _MOST_COUNT else -1


def streams(response: aiohttp.ClientResponse) -> bool:
    """Whether an answer says that it is an event stream."""
    return response.headers.get("Content-Type", "").lower().startswith("text/event-stream")


def _event(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise BadStreamError("sends what is no event stream of completions.")
    return event


def _has_text(event: dict[str, Any]) -> bool:
    """Whether a part of the answer is in an event: also an empty text of a half character counts as one."""
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and "text" in first
