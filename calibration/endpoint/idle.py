"""A server of no work, in a process of its own: what a client sees of it is the client's own time."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

_EVENT: Final = b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
_USAGE: Final = b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 4}}\n\n'


async def serve_nothing() -> None:
    """Answer every completion at once with four tokens, until stdin is closed; prints the port."""
    server = await asyncio.start_server(_reply, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            json.loads(await reader.readexactly(size))
            data = _EVENT * 4 + _USAGE + b"data: [DONE]\n\n"
            lines = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(
                data
            )
            writer.write(lines + data)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, StopIteration, ValueError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve_nothing())
