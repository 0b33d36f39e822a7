"""What all commands share: clear errors, progress, files that must not be overwritten."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from advisor.errors import AdvisorError, InputError, Interrupted

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with schema_version, nothing else."
)
_REDRAW_NS: Final = 80_000_000
_BAR: Final = 24


def example(*lines: str) -> str:
    """The end of a help page."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def clear_errors(resume: str = "") -> Iterator[None]:
    """Print what is the user's to mend as plain sentences and exit with the error's code.

    Args:
        resume: how to go on after an interruption.
    """
    try:
        yield
    except AdvisorError as error:
        click.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        anew = "Nothing is half-written; the same command starts anew."
        click.echo(f"interrupted. {resume or anew}", err=True)
        raise SystemExit(Interrupted.exit_code) from None


@contextmanager
def progress(*, silent: bool = False) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr, and only where stderr is a terminal; lines for a program that set a variable.

    With LORA_ADVISOR_PROGRESS=lines each line is `progress SHARE WHAT`.
    """
    if os.environ.get("LORA_ADVISOR_PROGRESS") == "lines":
        yield _line
        return
    shown = sys.stderr.isatty() and not silent
    drawn_ns = 0

    def draw(share: float, what: str) -> None:
        nonlocal drawn_ns
        now_ns = time.perf_counter_ns()
        if shown and now_ns - drawn_ns > _REDRAW_NS:
            drawn_ns = now_ns
            filled = round(min(1.0, max(0.0, share)) * _BAR)
            bar = "#" * filled + "." * (_BAR - filled)
            sys.stderr.write(f"\r\x1b[K[{bar}] {100 * share:3.0f} %  {what[:60]}")
            sys.stderr.flush()

    try:
        yield draw
    finally:
        if drawn_ns:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _line(share: float, what: str) -> None:
    sys.stderr.write(f"progress {min(1.0, max(0.0, share)):.4f} {' '.join(what.split())}\n")
    sys.stderr.flush()


def check_new(path: Path, option: str, *, force: bool) -> None:
    """Refuse to overwrite a file, and a place that cannot be written (InputError)."""
    from advisor.files import check_target

    if path.exists() and not force:
        sentence = f"{option} is {path}, which exists; allowed: a new file. Add --force to overwrite it."
        raise InputError(sentence)
    check_target(path)


def seconds(text: str, option: str) -> float:
    """A time such as 60s or 10min (InputError)."""
    from pydantic import TypeAdapter, ValidationError

    from advisor.spec.quantities import Duration

    try:
        return float(TypeAdapter(Duration).validate_python(text))
    except ValidationError:
        sentence = f"{option} is {text!r}; allowed: a time with its unit, such as 60s or 10min."
        raise InputError(sentence) from None


def command_line() -> str:
    """What was typed, with the program's plain name."""
    import shlex

    return shlex.join(["calibrate", *sys.argv[1:]])
