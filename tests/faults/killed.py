"""`calibrate` that kills itself where it hurts: `python -m tests.faults.killed WHERE ARGUMENT...`."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from calibration.cli import main
from calibration.replay.journal import Journal

POINTS = ("empty journal", "torn head", "torn line", "before the result", "after the result")
"""Of a replay."""
ENDPOINT_POINTS = (
    *("samples not synced", "samples not in place", "profile not synced", "profile not in place"),
    "profile in place",
)
"""Of a calibration of an endpoint, which writes its samples, then its profile."""


def die(*_: Any, **__: Any) -> NoReturn:
    """As by kill -9: nothing of Python's runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def torn(at: int) -> None:
    """Half of the so manieth line of the journal reaches the file."""
    line = Journal._line
    lines = 0

    def half(journal: Journal, record: dict[str, Any]) -> None:
        nonlocal lines
        if lines == at:
            assert journal._file is not None
            journal._file.write(str(record)[: len(str(record)) // 2].replace("'", '"'))
            journal._file.flush()
            die()
        lines += 1
        line(journal, record)

    Journal._line = half  # type: ignore[method-assign, assignment]


def at_call(owner: Any, name: str, number: int) -> None:
    """Die in place of the so manieth call, from 1."""
    whole, calls = getattr(owner, name), itertools.count(1)

    def call(*given: Any, **named: Any) -> Any:
        return die() if next(calls) == number else whole(*given, **named)

    setattr(owner, name, call)


def prepare(where: str) -> None:
    """Set the trap."""
    if where == "empty journal":
        Journal._line = die  # type: ignore[method-assign]
    elif where == "torn head":
        torn(0)
    elif where == "torn line":
        torn(20)
    elif where == "before the result":
        Path.replace = die  # type: ignore[method-assign]
    elif where == "after the result":
        Path.unlink = die  # type: ignore[method-assign]
    elif where.endswith("not synced"):
        at_call(os, "fsync", 1 + where.startswith("profile"))
    elif where.endswith("not in place"):
        at_call(Path, "replace", 1 + where.startswith("profile"))
    elif where == "profile in place":
        at_call(click, "echo", 1)


if __name__ == "__main__":
    prepare(sys.argv[1])
    main(sys.argv[2:])
