"""stdout carries the answer and nothing else; stderr carries progress, and only where somebody watches."""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType
from typing import Final, Self

import click

from advisor.text import Style

_PIPE_WIDTH: Final = 160  # nobody wraps a pipe: show every column
_BAR: Final = 24
_REDRAW_NS: Final = 80_000_000
_PLAIN: Final = str.maketrans(
    {"→": ">", "─": "-", "·": ".", "×": "x", "–": "-", "−": "-", "µ": "u", "≤": "<=", "≥": ">=", "…": "..."}
)


def style(no_color: bool = False) -> Style:
    """Width and colour for the answer on stdout."""
    watched = sys.stdout.isatty()
    width = (
        shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
        if watched or os.environ.get("COLUMNS")
        else _PIPE_WIDTH
    )
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Style(width=max(60, width), colour=watched and not plain)


def say(text: str) -> None:
    """Write the answer to stdout. A reader that closed the pipe ends the program quietly."""
    try:
        sys.stdout.write(_encodable(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def tell(line: str, quiet: bool = False) -> None:
    """Write a remark to stderr."""
    if not quiet:
        click.echo(line, err=True)


class Progress:
    """A bar on stderr while a long job runs; nothing where stderr is no terminal, or with --quiet or --json.

    Call it with the share done (0 to 1) and what is being done.
    """

    def __init__(self, *, silent: bool) -> None:
        self._shown = sys.stderr.isatty() and not silent and os.environ.get("TERM") != "dumb"
        self._drawn_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._drawn_ns:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, share: float, what: str) -> None:
        """Draw the bar, at most a dozen times a second."""
        now_ns = time.perf_counter_ns()
        if not self._shown or now_ns - self._drawn_ns < _REDRAW_NS:
            return
        self._drawn_ns = now_ns
        filled = round(min(1.0, max(0.0, share)) * _BAR)
        room = max(10, shutil.get_terminal_size().columns - _BAR - 12)
        sys.stderr.write(
            f"\r\x1b[K[{'#' * filled}{'.' * (_BAR - filled)}] {share * 100:3.0f} %  {what[:room]}"
        )
        sys.stderr.flush()
