"""What the client itself adds: measured against a server of no work on loopback, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import numpy as np

from calibration.endpoint.answer import read_answer

_ROUNDS: Final = 20
_CONNECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds to take off every TTFT.

    Attributes:
        client_s: send to first token against a server that answers at once: the client's own work.
        per_prompt_token_s: the same for each prompt token that is written as JSON.
        network_s: one round trip to the server, by the quickest of five connects.
    """

    client_s: float
    per_prompt_token_s: float
    network_s: float

    def of(self, prompt_tokens: int) -> float:
        """Seconds of one request."""
        return self.client_s + self.network_s + self.per_prompt_token_s * prompt_tokens


async def measure_overhead(url: str, longest_tokens: int) -> Overhead:
    """Time the client alone, and a connect to the server; 0 for the network where it cannot be connected."""
    program = (sys.executable, "-m", "calibration.endpoint.idle")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, stdout=pipe, stdin=pipe)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        address = f"http://127.0.0.1:{port}/v1/completions"
        async with aiohttp.ClientSession() as session:
            short_s = await _median_ttft(session, address, 1)
            long_s = await _median_ttft(session, address, longest_tokens)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
    slope = max(long_s - short_s, 0.0) / max(longest_tokens - 1, 1)
    return Overhead(short_s, slope, await _connect_s(url))


async def _median_ttft(session: aiohttp.ClientSession, url: str, tokens: int) -> float:
    body = {"model": "none", "prompt": [12345] * tokens, "max_tokens": 4, "stream": True}
    found = []
    for _ in range(_ROUNDS):
        found.append((await read_answer(session, url, body)).ttft_s)
    return float(np.median(found[2:]))


async def _connect_s(url: str) -> float:
    """The quickest TCP connect: one round trip."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = []
    for _ in range(_CONNECTS):
        began_s = perf_counter()
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, port), 5.0)
        except (OSError, TimeoutError):
            continue
        found.append(perf_counter() - began_s)
        writer.close()
    return min(found, default=0.0)
