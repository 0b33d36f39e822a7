"""Whether the built-in server and the app leak while they work. Exit 1 if so, or if a request failed.

    python -m benchmarks.soak --minutes 60 [--write]

`calibrate serve` gets prompts of all lengths, whole, streamed and dropped by the client, and adapters loaded
and unloaded. The app is opened and asked again and again. What counts as a leak: _soak_judge.py. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from advisor.datafiles import data_dir
from advisor.errors import InputError
from benchmarks._page import ROOT, replace_block, table
from benchmarks._soak_judge import Growth, Sample, findings, growth
from benchmarks._soak_load import Length, Work, work

_APP_PAUSE_S = 2.0
_ROUND_MINUTES = 10.0
SERVER = (
    sys.executable, "-m", "calibration.cli", "serve", "--model", "tiny", "--port", "0",
    "--served-model-name", "base", "--max-num-seqs", "8", "--kv-blocks", "256", "--max-loras", "2",
    "--max-cpu-loras", "3", "--allow-adapter-changes", str(data_dir() / "models" / "adapters"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Soak:
    """What a run has shown so far."""

    work: Work
    memory: dict[str, Growth]
    visits: int
    findings: list[str]

    @classmethod
    def of(cls, work: Work, visits: Sequence[Sample]) -> Soak:
        """Judge it. Raises InputError: too few readings."""
        memory = {"server": growth(work.samples), "app": growth(visits)}
        return cls(work, memory, len(visits), findings(work.before, work.after, memory))


def soak_server(
    length: Length, command: Sequence[str] = SERVER, tell: Callable[[Work], None] = lambda _: None
) -> Work:
    """Start a server that prints its address, work it, and end it.

    Raises:
        AssertionError, aiohttp.ClientError: a request failed.
        InputError: the server did not start.
    """
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = server.stdout.readline()
        if not told:
            raise InputError("soak: the server has ended before it told its address; what it says is above.")
        return asyncio.run(work(server.pid, told.split()[-1], length, tell))
    finally:
        server.terminate()
        server.communicate()


def soak_both(length: Length, tell: Callable[[Soak], None]) -> Soak:
    """Server and app side by side; `tell` hears how it stands after each round.

    Raises:
        InputError: too short to judge.
    """
    app = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._soak_app", str(length.minutes), str(_APP_PAUSE_S)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    visits: list[Sample] = []

    def listen() -> None:
        assert app.stdout is not None
        for line in app.stdout:
            at_s, resident = line.split()
            visits.append((float(at_s), int(resident)))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        done = soak_server(length, tell=lambda work: tell(Soak.of(work, list(visits))))
        code = app.wait()
    finally:
        app.terminate()
        listener.join()
    soak = Soak.of(done, visits)
    if code:
        soak.findings.append(f"the app has ended with exit code {code} after {len(visits)} visits.")
    return soak


def main() -> int:
    """Both, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    wish = parser.parse_args()
    try:
        length = Length(wish.minutes, rounds=max(1, round(wish.minutes / _ROUND_MINUTES)))
        soak = soak_both(length, lambda so_far: print(report(so_far), flush=True))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except (AssertionError, aiohttp.ClientError) as error:
        print(f"a request failed: {type(error).__name__} {error}", file=sys.stderr)
        return 1
    text = report(soak)
    print(text)
    if wish.write:
        replace_block(ROOT / "docs" / "performance.md", "soak", text)
    return int(bool(soak.findings))


def report(soak: Soak) -> str:
    """Both tables and the verdict."""
    ends, done = soak.work.ends, soak.work
    rows = [
        (name, f"{one.first:.0f} MiB", f"{one.middle:.1f} MiB", f"{one.last:.1f} MiB",
         f"{one.per_minute:+.2f} ± {one.half_width:.2f} MiB/min")
        for name, one in soak.memory.items()
    ]  # fmt: skip
    words = (
        f"{soak.work.minutes:g} minutes: {ends['whole'] + ends['streamed']:,} whole answers, "
        f"{ends['dropped']:,} streams dropped, {ends['refused']:,} requests refused for adapters gone, "
        f"{ends['changed']:,} adapters loaded or unloaded; {soak.visits} visits of the app, each with a "
        "whole answer."
    )
    head = ("resident memory", "at first", "median, middle third", "median, last third", "slope of both")
    counts = [
        (name, str(count), str(done.after[name]))
        for name, count in done.before.items()
        if name != "resident_memory_bytes"
    ]
    verdict = "No leak." if not soak.findings else "\n".join(f"- **Leak**: {one}" for one in soak.findings)
    held = table(("the idle server holds", "before", "after"), counts)
    return f"{words}\n\n{table(head, rows)}\n{held}\n{verdict}"


if __name__ == "__main__":
    sys.exit(main())
