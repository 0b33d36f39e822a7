"""`calibrate` as a process of its own: the app has no torch in it, and what is stopped leaves nothing behind.

The page chooses among fixed lists of arguments; no text from a browser gets onto the command line. One such
process runs at a time in the whole server. It is interrupted as by Ctrl-C, so that files stay whole.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from advisor.errors import AdvisorError, InputError, MeasurementError
from advisor.web.work import Tell, Work

PROGRESS: Final = "LORA_ADVISOR_PROGRESS"
MOST_S: Final = 1800.0
"""Longer than anything that a page offers."""
FORGOTTEN_S: Final = 600.0
"""A measurement goes on while its visitor reads another page, for so long."""
_LOOK_S: Final = 0.2
_GRACE_S: Final = 10.0
_MOST_OUTPUT: Final = 64 * 2**20
_LINE: Final = threading.BoundedSemaphore(1)
Lines = queue.SimpleQueue[str | None]
"""What it wrote to stderr; None at the end."""
_RUNNING: Final[set[subprocess.Popen[str]]] = set()


def needs() -> str:
    """What is missing for measuring here, as a sentence; empty: nothing."""
    missing = [name for name in ("torch", "calibration") if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    absent = " and ".join(missing)
    return f"Measuring needs the live engine ({absent} not installed): pip install '.[calibrate]'."


def begin(arguments: Sequence[str], folder: Path, what: str, *, told_at: Sequence[int] = ()) -> Work[str]:
    """Run `calibrate` in a thread's care; the result is what it printed.

    Args:
        arguments: fixed words and paths of the app's own.
        folder: where its output is kept meanwhile.
        what: said until it tells more.
        told_at: exit codes besides 0 at which what it printed is the result.
    """

    def compute(tell: Tell) -> str:
        tell(0.0, what)
        return run(arguments, folder, tell, told_at)

    return Work(compute, _LINE, FORGOTTEN_S)


def run(
    arguments: Sequence[str], folder: Path, tell: Callable[[float, str], None], told_at: Sequence[int] = ()
) -> str:
    """Run `calibrate` to its end and return what it printed.

    Raises:
        AdvisorError: its own sentence.
        Stopped: `tell` said so; the process has ended.
    """
    root = Path(__file__).parents[2]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, PROGRESS: "lines", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-m", "calibration.cli", *arguments]
    with tempfile.TemporaryFile(dir=folder) as said:
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.PIPE, text=True
        )
        _RUNNING.add(process)
        lines: Lines = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
        reader.start()
        try:
            sentences = _follow(lines, tell)
            process.wait(_GRACE_S)
        finally:
            end(process)
            reader.join(_GRACE_S)
            _RUNNING.discard(process)
        said.seek(0)
        output = said.read(_MOST_OUTPUT).decode("utf-8", errors="replace")
    if process.returncode and not (process.returncode in told_at and output.strip()):
        raise _error(process.returncode, sentences)
    return output


def _follow(lines: Lines, tell: Callable[[float, str], None]) -> list[str]:
    """Pass on how far it is until it ends; the other lines that it wrote to stderr, the last ones."""
    began_ns, share, what = time.perf_counter_ns(), 0.0, "starting"
    sentences: list[str] = []
    while True:
        try:
            line = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            line = ""
        if line is None:
            return sentences
        if line.startswith("progress "):
            _, number, what = line.rstrip("\n").split(" ", 2)
            share = float(number)
        elif line.strip():
            sentences = [*sentences[-9:], line.strip()]
        tell(share, what)
        if (time.perf_counter_ns() - began_ns) * 1e-9 > MOST_S:
            raise MeasurementError(f"It took longer than {MOST_S / 60:.0f} minutes and was stopped.")


def _read(stream: IO[str], lines: Lines) -> None:
    with stream:
        for line in stream:
            lines.put(line[:2000])
    lines.put(None)


def end(process: subprocess.Popen[str]) -> None:
    """Interrupt it if it still runs; where that does not help, end it."""
    for ask in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(ask)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def _error(code: int, sentences: list[str]) -> AdvisorError:
    """The process's own sentence as the error that it was there."""
    if code == InputError.exit_code:
        return InputError(" ".join(sentences))
    if code == MeasurementError.exit_code:
        return MeasurementError(" ".join(sentences))
    last = sentences[-1] if sentences else "it said nothing"
    return MeasurementError(f"calibrate ended with code {code}: {last}")


@atexit.register
def _end_all() -> None:
    for process in tuple(_RUNNING):
        end(process)
