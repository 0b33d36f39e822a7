"""Whether the built-in server and the app grow while they work.

    python -m benchmarks.soak --minutes 10 [--write]

The server gets long and short prompts, whole and streamed, some streams dropped by the client, and adapters
loaded and unloaded. The app is opened and asked again and again. Linux only: it reads /proc. The first third
of the time is left out of the slopes, for caches to fill. Exit 1 if the server holds more than at its start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from numpy.typing import NDArray

from advisor.datafiles import data_dir
from benchmarks._page import ROOT, replace_block, table

ADAPTERS = ("json", "shout", "terse")
PAUSE_S = 0.1
MIB = 2.0**20


@dataclass(slots=True)
class Load:
    """What was done to the server, and its memory meanwhile."""

    answered: int = 0
    dropped: int = 0
    changes: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)  # (seconds, resident bytes)


def slope(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """Resident MiB a minute, and the half width of its 95 % interval from six stretches.

    Samples of one process follow each other closely, so that least squares over all of them would look far
    too sure: the interval is that of the mean of the slopes between seven evenly spaced instants.
    """
    points: NDArray[np.float64] = np.asarray(samples, dtype=np.float64)
    late = points[points[:, 0] >= points[-1, 0] / 3.0]
    if len(late) < 3:
        return float("nan"), float("nan")
    instants = np.linspace(late[0, 0], late[-1, 0], 7)
    each = np.diff(np.interp(instants, late[:, 0], late[:, 1] / MIB)) / np.diff(instants / 60.0)
    return float(each.mean()), float(2.571 * each.std(ddof=1) / np.sqrt(len(each)))  # t of 5 degrees


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def held(server: subprocess.Popen[str]) -> dict[str, int]:
    """What an idle server holds, and its open files."""
    assert server.stdout is not None
    os.kill(server.pid, signal.SIGUSR1)
    counts: dict[str, int] = json.loads(server.stdout.readline())
    return {**counts, "open_files": len(list(Path(f"/proc/{server.pid}/fd").iterdir()))}


async def change(session: aiohttp.ClientSession, name: str, *, load: bool) -> None:
    """Load or unload an adapter; one that is there or gone already is refused, which is well."""
    verb = "load" if load else "unload"
    body = {"lora_name": name} | (
        {"lora_path": str(data_dir() / "models" / "adapters" / name)} if load else {}
    )
    async with session.post(f"/v1/{verb}_lora_adapter", json=body) as response:
        assert response.status in (200, 400, 404), await response.text()


async def ask(session: aiohttp.ClientSession, rng: np.random.Generator, load: Load) -> None:
    """One request: any adapter (gone perhaps), any length, whole, streamed, or dropped after a part."""
    kind = rng.choice(["whole", "streamed", "dropped"])
    words = int(rng.choice([3, 20, 60]))
    body = {"model": str(rng.choice(["base", *ADAPTERS])), "prompt": "one more word " * words}
    more = {"max_tokens": int(rng.integers(1, 40)), "stream": kind != "whole", "ignore_eos": True}
    async with session.post("/v1/completions", json=body | more) as response:
        if kind == "dropped" and response.status == 200:
            await response.content.readany()
            response.close()
            load.dropped += 1
            return
        await response.read()
        assert response.status in (200, 400, 404), response.status
        load.answered += response.status == 200


async def settle(server: subprocess.Popen[str]) -> dict[str, int]:
    """What the server holds once nothing is under way."""
    counts = held(server)
    for _ in range(100):
        if counts["unfinished"] == 0 and counts["tasks"] == 1:
            break
        await asyncio.sleep(0.1)
        counts = held(server)
    return counts


async def work(
    server: subprocess.Popen[str], url: str, minutes: float, load: Load
) -> tuple[dict[str, int], ...]:
    """Mixed load of three clients; what the server held before and after."""
    rng, begin_s = np.random.default_rng(0), time.perf_counter()
    async with aiohttp.ClientSession(url) as session, session.get("/health") as response:
        assert response.status == 200
    before = await settle(server)

    async def client() -> None:
        async with aiohttp.ClientSession(url) as session:
            while (now_s := time.perf_counter() - begin_s) < 60.0 * minutes:
                load.samples.append((now_s, resident_bytes(server.pid)))
                if rng.random() < 0.1:
                    await change(session, str(rng.choice(ADAPTERS)), load=bool(rng.random() < 0.7))
                    load.changes += 1
                await ask(session, rng, load)
                await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(client() for _ in range(3)))
    async with aiohttp.ClientSession(url) as session:
        for name in ADAPTERS:
            await change(session, name, load=False)
    return before, await settle(server)


def main() -> int:
    """Server and app side by side; a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    wish = parser.parse_args()
    python = [sys.executable, "-m"]
    app = subprocess.Popen(
        [*python, "benchmarks._soak_app", str(wish.minutes)], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = subprocess.Popen([*python, "benchmarks._soak_server"], stdout=subprocess.PIPE, text=True)
    load = Load()
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        before, after = asyncio.run(work(server, url, wish.minutes, load))
        lines = app.communicate()[0].splitlines()
    finally:
        for process in (server, app):
            process.terminate()
            process.wait()
    visits = [(float(s), int(b)) for s, b in (line.split() for line in lines)]
    text = report(wish.minutes, load, before, after, visits)
    print(text)
    if wish.write:
        replace_block(ROOT / "docs" / "performance.md", "soak", text)
    return int(grown(before, after) or app.returncode != 0)


def grown(before: dict[str, int], after: dict[str, int]) -> bool:
    """Whether the server holds more than before. Idle slots stay filled until another adapter takes them."""
    bounded = {"kv_free_blocks", "slots_filled"}
    more = any(after[name] > before[name] for name in before if name not in bounded)
    return more or after["kv_free_blocks"] != before["kv_free_blocks"]


def report(
    minutes: float, load: Load, before: dict[str, int], after: dict[str, int], visits: list[tuple[float, int]]
) -> str:
    """Both tables."""
    rows = []
    for name, samples in (("server", load.samples), ("app", visits)):
        growth, half = slope(samples)
        first, last = samples[0][1] / MIB, samples[-1][1] / MIB
        rows.append((name, f"{first:.0f} MiB", f"{last:.0f} MiB", f"{growth:+.2f} ± {half:.2f} MiB/min"))
    words = (
        f"{minutes:g} minutes: {load.answered:,} answers, {load.dropped:,} streams dropped, {load.changes:,} "
        f"adapters loaded or unloaded; {len(visits)} visits of the app, each with a whole answer."
    )
    counts = [(name, str(before[name]), str(after[name])) for name in before]
    memory = table(("resident memory", "at first", "at last", "slope after a third of the time"), rows)
    return f"{words}\n\n{memory}\n{table(('the idle server holds', 'before', 'after'), counts)}"


if __name__ == "__main__":
    sys.exit(main())
