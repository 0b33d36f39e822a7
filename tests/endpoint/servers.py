"""Servers of no model: paced, limited, packing, or only listing names."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.replay.faulty import Faulty, running


class Paced(Faulty):
    """Answers well, a part every millisecond; `packed` tokens a part; may refuse now and then.

    `cut` are numbers of requests whose answer breaks off, `closed` of those that get none.
    """

    def __init__(
        self,
        *,
        packed: int = 1,
        refuse_every: int = 0,
        retry_after: str = "0.05",
        cut: frozenset[int] = frozenset(),
        closed: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.cut, self.closed = cut, closed
        self.packed, self.refuse_every, self.retry_after = packed, refuse_every, retry_after

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        if self.refuse_every and len(self.seen) % self.refuse_every == 0:
            return web.Response(status=429, headers={"Retry-After": self.retry_after})
        if len(self.seen) in self.closed:
            request.transport.close()  # type: ignore[union-attr]
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if len(self.seen) in self.cut:
            request.transport.close()  # type: ignore[union-attr]
            return response
        wanted = body["max_tokens"]
        for _ in range(0, wanted, self.packed):
            await asyncio.sleep(0.001)
            await response.write(b'data: {"choices": [{"text": "a"}]}\n\n')
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": wanted}
        await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@contextmanager
def listening(
    names: list[str], tls: ssl.SSLContext | None = None, posts: dict[str, Any] | None = None
) -> Iterator[str]:
    """A server that lists names, plain or with TLS, and answers what `posts` has."""

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name, "max_model_len": 2048} for name in names]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    for path, handle in (posts or {}).items():
        app.router.add_post(path, handle)
    with running(app, tls) as address:
        yield address


def answering(status: int) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status)

    return handle
