"""A completions server that does, on purpose, everything wrong that servers do."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

FAULTS = (
    "401", "404", "429", "500", "hang", "cut", "malformed", "no_usage", "not_streaming", "redirect", "slow",
    "error", "huge", "html", "number", "odd",
)  # fmt: skip

_GOOD = json.dumps({"choices": [{"text": "a", "index": 0}]})
_EVENTS = {
    "malformed": "{nonsense",
    "number": "3",
    "odd": json.dumps({"choices": [None], "usage": {"completion_tokens": "4"}}),
    "error": json.dumps({"error": {"message": "boom"}}),
}


class Faulty:
    """Answers well but for the fault it was told; counts what it got."""

    def __init__(self, fault: str = "", every: int = 1) -> None:
        self.fault, self.every = fault, every
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        broken = self.fault if len(self.seen) % self.every == 0 else ""
        if broken.isdigit():
            return web.json_response({"error": {"message": "no"}}, status=int(broken))
        if broken == "redirect":
            raise web.HTTPFound("http://127.0.0.2:9/elsewhere")
        if broken in ("not_streaming", "html"):
            return web.Response(text="<html>", content_type="text/html")
        if broken == "slow":
            await asyncio.sleep(0.2)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        tokens = body["max_tokens"] - (broken == "short")
        for number in range(tokens):
            if broken == "cut" and number == 1:
                request.transport.close()  # type: ignore[union-attr]
                return response
            if broken == "hang" and number == 1:
                await asyncio.sleep(30)
            text = _EVENTS.get(broken, _GOOD)
            if broken == "huge":
                text = "x" * 5_000_000
                await response.write(f"data: {text}".encode())
                return response
            await response.write(f": comment\r\ndata: {text}\r\n\r\n".encode())
        if broken not in ("no_usage", "odd"):
            usage = {"prompt_tokens": counted(body["prompt"]), "completion_tokens": tokens}
            await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


def counted(prompt: list[int] | str) -> int:
    """Tokens: ids as they are; of text two, and three for two words."""
    return len(prompt) if isinstance(prompt, list) else 2 + (3 * len(prompt.split())) // 2


@contextmanager
def running(app: web.Application, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """An application on a free port of this machine, in a thread; its address."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def start() -> web.AppRunner:
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        server: Any = site._server
        address.append(server.sockets[0].getsockname()[1])
        ready.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{address[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextmanager
def serving(server: Faulty) -> Iterator[Faulty]:
    """Run it."""
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/completions", server.completions)
    with running(app) as server.url:
        yield server
