"""An error becomes one clear sentence on stderr and an exit code; a bug of ours becomes a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from advisor.errors import AdvisorError, InputError, Interrupted

_INTERRUPTED: Final = Interrupted.exit_code
_BUG: Final = 1


def run(command: click.Command, name: str, args: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code (0 done, 1 bug, 2 input, 3 infeasible, 4 measurement, 130 stop).

    Args:
        command: the root command.
        name: the program's name, said before each sentence.
        args: the arguments; None takes the process's own.
    """
    try:
        code = command.main(args=None if args is None else list(args), prog_name=name, standalone_mode=False)
    except AdvisorError as error:
        return _told(name, error)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say(f"{name}: interrupted. Nothing is half-written; the same command starts anew.")
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception:  # noqa: BLE001 - the outermost frame of the program: shown in full, never swallowed
        traceback.print_exc()
        _say(f"{name}: this is a bug of ours. Please report it with the lines above and your command.")
        return _BUG
    return code if isinstance(code, int) else 0


def _told(name: str, error: AdvisorError) -> int:
    sentences = error.sentences if isinstance(error, InputError) else (str(error),)
    for sentence in sentences:
        _say(f"{name}: {_visible(sentence)}")
    return error.exit_code


def _visible(sentence: str) -> str:
    """Control characters of a user's file must not reach the terminal."""
    return "".join(char if char.isprintable() else " " if char == "\n" else "?" for char in sentence)


def _say(line: str) -> None:
    click.echo(line, file=sys.stderr)
