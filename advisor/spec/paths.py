"""Paths that a scenario names, relative to the folder of the scenario file."""

from __future__ import annotations

from pathlib import Path

from advisor.errors import InputError


def path_under(folder: Path, given: str) -> Path:
    """Return the path that a scenario means; `~` stands for the home folder.

    Raises:
        InputError: no path at all: too long, a null character, or the home of nobody.
    """
    try:
        path = folder / Path(given).expanduser()
        path.stat()
    except FileNotFoundError:
        return folder / Path(given).expanduser()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{given[:60]!r}: is no path that can be read: {reason}.") from None
    return path
