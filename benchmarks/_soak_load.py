"""Mixed load on a server, and what it says that it holds."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np

from advisor.datafiles import data_dir
from benchmarks._soak_judge import BOUNDED, Sample

ADAPTERS = ("json", "shout", "terse")
_CLIENTS = 3
_HELD = re.compile(r"^(?:lora_advisor:held_|process_)(\w+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Length:
    """How long to go on: until the minutes are over, or so many requests were sent."""

    minutes: float
    requests: int | None = None
    pause_s: float = 0.2  # of each client between two requests
    settle_s: float = 15.0  # at most, after each round, for what was under way
    rounds: int = 1  # after each the server is left idle, and asked what it holds


@dataclass(slots=True)
class Work:
    """What was done to the server, and what became of it."""

    minutes: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)  # whole, streamed, dropped, refused, changed
    samples: list[Sample] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])


async def work(pid: int, url: str, length: Length, tell: Callable[[Work], None], seed: int = 0) -> Work:
    """Clients that go on side by side; `tell` hears of each round.

    Raises:
        AssertionError: a request failed in a way that it may not.
    """
    done, begin_s = Work(), time.perf_counter()
    seeds = np.random.SeedSequence(seed).spawn(_CLIENTS * length.rounds)
    most = float("inf") if length.requests is None else length.requests / _CLIENTS / length.rounds
    async with _session(url) as session:
        await _unload_all(session)
        done.before = await _settled(session, {}, length.settle_s)

    async def client(rng: np.random.Generator, end_s: float) -> None:
        sent = 0
        async with _session(url) as session:
            while (now_s := time.perf_counter() - begin_s) < end_s and sent < most:
                done.samples.append((now_s, resident_bytes(pid)))
                if rng.random() < 0.1:
                    await _change(session, rng)
                    done.ends["changed"] += 1
                done.ends[await _ask(session, rng)] += 1
                sent += 1
                await asyncio.sleep(length.pause_s)

    for nth in range(1, length.rounds + 1):
        done.minutes = length.minutes * nth / length.rounds
        theirs = seeds[_CLIENTS * (nth - 1) : _CLIENTS * nth]
        await asyncio.gather(*(client(np.random.default_rng(one), 60.0 * done.minutes) for one in theirs))
        async with _session(url) as session:
            await _unload_all(session)
            done.after = await _settled(session, done.before, length.settle_s)
        tell(done)
    return done


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A connection each request, and no timeout: a machine that was stopped for minutes is no fault of it."""
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        yield session


async def _ask(session: aiohttp.ClientSession, rng: np.random.Generator) -> str:
    """One request: any adapter (gone perhaps), any length, whole, streamed, or dropped after a part."""
    kind = str(rng.choice(["whole", "streamed", "dropped"]))
    letters = rng.choice(list("abcdefghij klmnopqrst "), int(rng.integers(1, 300)))
    body = {
        "model": str(rng.choice(["base", *ADAPTERS])), "prompt": "".join(letters), "ignore_eos": True,
        "max_tokens": int(rng.integers(1, 40)), "stream": kind != "whole", "seed": int(rng.integers(1000)),
    }  # fmt: skip
    async with session.post("/v1/completions", json=body) as response:
        if response.status in (400, 404):  # its adapter was unloaded meanwhile
            return "refused"
        assert response.status == 200, f"{response.status}: {await response.text()}"
        if kind == "dropped":
            await response.content.readany()
            response.close()
        elif kind == "streamed":
            text = await response.text()
            assert text.endswith("data: [DONE]\n\n"), text[-200:]
            assert 'data: {"error"' not in text, text[-400:]
        else:
            usage = json.loads(await response.text())["usage"]
            assert usage["completion_tokens"] == body["max_tokens"], usage
    return kind


async def _change(session: aiohttp.ClientSession, rng: np.random.Generator) -> None:
    """Load or unload an adapter; one that is there or gone already is refused, which is well."""
    name = str(rng.choice(ADAPTERS))
    if rng.random() < 0.3:
        await _unload(session, name)
        return
    body = {"lora_name": name, "lora_path": str(data_dir() / "models" / "adapters" / name)}
    async with session.post("/v1/load_lora_adapter", json=body) as response:
        assert response.status in (200, 400), await response.text()


async def _unload(session: aiohttp.ClientSession, name: str) -> None:
    async with session.post("/v1/unload_lora_adapter", json={"lora_name": name}) as response:
        assert response.status in (200, 404), await response.text()


async def _unload_all(session: aiohttp.ClientSession) -> None:
    for name in ADAPTERS:
        await _unload(session, name)


async def _settled(session: aiohttp.ClientSession, before: dict[str, int], most_s: float) -> dict[str, int]:
    """What the server holds once nothing is under way and it holds no more than before, or after a while."""
    end_s = time.perf_counter() + most_s
    while True:
        async with session.get("/metrics") as response:
            held = {name: int(count) for name, count in _HELD.findall(await response.text())}
        more = any(count > before.get(name, count) for name, count in held.items() if name not in BOUNDED)
        if time.perf_counter() > end_s or (held["requests"] == 0 and not more):
            return held
        await asyncio.sleep(0.2)
