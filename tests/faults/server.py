"""A server of bare sockets that misbehaves on purpose.

Each request may meet another fault; `fault_of` says which, by the prompt, so that a request that is sent
again is known as the same one.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.faults.reply import FAULTS, Reply

Prompt = tuple[int, ...]
SILENCE = b"silence"  # in place of a page: it never comes


@dataclass(slots=True)
class Misbehaving:
    """What it does to whom, and what it got: prompts in the order in which they came."""

    fault_of: Callable[[Prompt], str] = lambda _prompt: ""
    keeps: bool = True  # connections, from one request to the next
    pause_s: float = 0.0  # between parts of an answer
    pages: dict[str, bytes] = field(default_factory=dict)  # path -> its content
    seen: list[Prompt] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def times(self) -> Counter[Prompt]:
        """How often each prompt came."""
        return Counter(self.seen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection, one after the other."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                if method == "GET":
                    self.gets.append(path)
                    await self._page(writer, path)
                    continue
                sizes = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
                body = json.loads(await reader.readexactly(int(sizes[0].partition(":")[2])))
                prompt = tuple(body["prompt"])
                self.seen.append(prompt)
                await FAULTS[self.fault_of(prompt)](Reply(writer, body, self.keeps, self.pause_s))
        writer.close()

    async def _page(self, writer: asyncio.StreamWriter, path: str) -> None:
        content = self.pages.get(path)
        if content == SILENCE:
            await asyncio.sleep(3600)
        elif content is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


@contextmanager
def misbehaving(server: Misbehaving) -> Iterator[Misbehaving]:
    """Run it on a free port of this machine, in a thread."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def main(stop: asyncio.Event) -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        listening.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[main(stop)], daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
