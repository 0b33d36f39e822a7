"""Answers as bare bytes: good ones, and all that servers get wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

Body = dict[str, Any]
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PART: Final = b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
_DONE: Final = b"data: [DONE]\n\n"
_PAUSE_S: Final = 0.02
_BURST: Final = 512


@dataclass(slots=True)
class Reply:
    """One request and the way back to who sent it."""

    writer: asyncio.StreamWriter
    body: Body
    keeps: bool = True
    pause_s: float = 0.0  # between parts

    async def send(self, content: bytes) -> None:
        """Bytes as they are (ConnectionError: nobody is there any more)."""
        self.writer.write(content)
        await self.writer.drain()

    async def chunk(self, content: bytes) -> None:
        """One whole chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(content), content))

    async def status(self, line: str, *headers: str, said: str = "no") -> None:
        """A refusal with a body that says why."""
        content = json.dumps({"error": {"message": said}})
        head = [f"HTTP/1.1 {line}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        await self.send("\r\n".join([*head, *headers, "", content]).encode())

    def usage(self, **other: Any) -> bytes:
        """The event that counts the tokens."""
        told = {"prompt_tokens": len(self.body["prompt"]), "completion_tokens": self.body["max_tokens"]}
        return b"data: %b\n\n" % json.dumps({"choices": [], "usage": told | other}).encode()

    async def parts(self, count: int) -> None:
        """The head and so many parts of an answer."""
        await self.send(_OK if self.keeps else _OK[:-2] + b"Connection: close\r\n\r\n")
        for _ in range(count):
            await self.chunk(_PART)
            if self.pause_s:
                await asyncio.sleep(self.pause_s)

    async def answer(self, *, event: bytes = b"", usage: bytes | None = None) -> None:
        """A whole answer, with an event of somebody's own in its middle."""
        await self.parts(self.body["max_tokens"] - 1)
        if event:
            await self.chunk(event)
        await self.chunk(_PART)
        await self.chunk(self.usage() if usage is None else usage)
        await self.chunk(_DONE)
        await self.send(b"0\r\n\r\n")

    async def forever(self, content: bytes, pause_s: float) -> None:
        """The same bytes again and again until the client has left."""
        while True:
            await self.send(content)
            await asyncio.sleep(pause_s)


async def _reset_before_head(reply: Reply) -> None:
    reply.writer.transport.abort()


async def _closed_before_head(reply: Reply) -> None:
    reply.writer.close()


async def _reset_in_head(reply: Reply) -> None:
    await reply.send(_OK[:25])
    reply.writer.transport.abort()


async def _reset_in_stream(reply: Reply) -> None:
    await reply.parts(1)
    reply.writer.transport.abort()


async def _closed_in_stream(reply: Reply) -> None:
    await reply.parts(1)
    reply.writer.close()


async def _truncated_chunk(reply: Reply) -> None:
    await reply.parts(1)
    await reply.send(b"400\r\n" + _PART)
    reply.writer.close()


async def _truncated_length(reply: Reply) -> None:
    await reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n")
    await reply.send(_PART)
    reply.writer.close()


async def _no_done(reply: Reply) -> None:
    await reply.parts(reply.body["max_tokens"])
    await reply.chunk(reply.usage())
    await reply.send(b"0\r\n\r\n")


async def _chunk_of_no_size(reply: Reply) -> None:
    await reply.parts(1)
    await reply.send(b"zz\r\n" + _PART + b"\r\n")


async def _no_http(reply: Reply) -> None:
    await reply.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    reply.writer.close()


async def _endless_header(reply: Reply) -> None:
    await reply.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    await reply.forever(b"x" * _BURST, 0.0)


async def _not_gzip(reply: Reply) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
    await reply.send(head + b"Content-Length: %d\r\n\r\n" % len(_PART) + _PART)


async def _html(reply: Reply) -> None:
    await reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")


async def _no_type(reply: Reply) -> None:
    await reply.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


async def _endless_refusal(reply: Reply) -> None:
    await reply.send(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
    await reply.forever(b"%x\r\n%b\r\n" % (_BURST, b"x" * _BURST), 0.0)


async def _silent(reply: Reply) -> None:
    await asyncio.sleep(3600)


async def _loris_head(reply: Reply) -> None:
    for place in range(len(_OK) - 4):
        await reply.send(_OK[place : place + 1])
        await asyncio.sleep(_PAUSE_S)
    await asyncio.sleep(3600)


async def _loris_stream(reply: Reply) -> None:
    await reply.send(_OK)
    await reply.chunk(_PART)
    await reply.forever(b"1\r\n:\r\n1\r\n\n\r\n", _PAUSE_S)  # comments, a byte at a time


async def _endless_parts(reply: Reply) -> None:
    await reply.send(_OK)
    await reply.forever((b"%x\r\n%b\r\n" % (len(_PART), _PART)) * 16, 0.0)


async def _endless_event(reply: Reply) -> None:
    line = b"data: " + b"x" * 8192 + b"\n"
    await reply.send(_OK)
    await reply.forever(b"%x\r\n%b\r\n" % (len(line), line), 0.0)


async def _endless_line(reply: Reply) -> None:
    await reply.send(_OK)
    await reply.chunk(b"data: ")
    await reply.forever(b"2000\r\n%b\r\n" % (b"x" * 8192), 0.0)


async def _done_and_silent(reply: Reply) -> None:
    await reply.parts(reply.body["max_tokens"])
    await reply.chunk(reply.usage() + _DONE)
    await asyncio.sleep(3600)


async def _done_and_reset(reply: Reply) -> None:
    await reply.parts(reply.body["max_tokens"])
    await reply.chunk(reply.usage() + _DONE)
    await asyncio.sleep(_PAUSE_S)  # a reset would take what is on its way with it
    reply.writer.close()


def _with(event: bytes) -> Callable[[Reply], Awaitable[None]]:
    return lambda reply: reply.answer(event=event)


def _counting(**usage: Any) -> Callable[[Reply], Awaitable[None]]:
    return lambda reply: reply.answer(usage=reply.usage(**usage))


def _refusing(line: str, *headers: str) -> Callable[[Reply], Awaitable[None]]:
    return lambda reply: reply.status(line, *headers)


FAULTS: Final[dict[str, Callable[[Reply], Awaitable[None]]]] = {
    "": lambda reply: reply.answer(),
    "reset before head": _reset_before_head,
    "closed before head": _closed_before_head,
    "reset in head": _reset_in_head,
    "reset in stream": _reset_in_stream,
    "closed in stream": _closed_in_stream,
    "truncated chunk": _truncated_chunk,
    "truncated length": _truncated_length,
    "no [DONE]": _no_done,
    "chunk of no size": _chunk_of_no_size,
    "no HTTP": _no_http,
    "endless header": _endless_header,
    "not gzip": _not_gzip,
    "429": _refusing("429 Too Many Requests"),
    "429, later": _refusing("429 Too Many Requests", "Retry-After: 0"),
    "503": _refusing("503 Service Unavailable"),
    "500": _refusing("500 Oops"),
    "endless refusal": _endless_refusal,
    "html": _html,
    "no type": _no_type,
    "no JSON": _with(b"data: {nonsense\n\n"),
    "no object": _with(b"data: [1]\n\n"),
    "deep": _with(b"data: " + b"[" * 100_000 + b"\n\n"),
    "digits": _with(b'data: {"usage": ' + b"9" * 10_000 + b"}\n\n"),
    "half characters": _with(b'data: {"choices": "\xff\xc3"}\n\n'),
    "event of other fields": _with(b"id: 7\nevent: ping\nretry: 1\ndata: {}\n\n"),
    "error": _with(b'data: {"error": {"message": "boom"}}\n\n'),
    "no error": _with(b'data: {"error": null, "choices": []}\n\n'),
    "no usage": lambda reply: reply.answer(usage=b": nothing\n\n"),
    "usage of texts": _counting(completion_tokens="4"),
    "usage of too many": _counting(completion_tokens=10**30),
    "prompt of too many": _counting(prompt_tokens=10**30),
    "usage below zero": _counting(completion_tokens=-4),
    "silent": _silent,
    "loris in head": _loris_head,
    "loris in stream": _loris_stream,
    "endless parts": _endless_parts,
    "endless event": _endless_event,
    "endless line": _endless_line,
    "[DONE] and silent": _done_and_silent,
    "[DONE] and closed": _done_and_reset,
}  # fmt: skip
