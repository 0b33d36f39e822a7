"""How many processes an answer may take: one a core, unless the operator says otherwise.

One answer is computed at a time (`work.AT_ONCE`), so that it may have all cores. The processes are started
when the app is first opened, because that takes longer than some answers.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from advisor.errors import InputError

VARIABLE: Final = "LORA_ADVISOR_JOBS"
MOST: Final = 256


def jobs() -> int:
    """Processes for an answer.

    Raises:
        InputError: the operator's variable is no number of processes.
    """
    from advisor.search.parallel import default_jobs

    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return default_jobs()
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= MOST:
        raise InputError(
            f"environment: {VARIABLE} is {given!r:.40}; allowed: a whole number from 1 to {MOST}. "
            "Start the app with --jobs N."
        )
    return int(given)


def warm() -> None:
    """Start the processes in the background, with everything imported that an answer needs."""
    threading.Thread(target=_warm, daemon=True).start()


def _warm() -> None:
    from advisor.search.parallel import run_all

    try:
        processes = jobs()
    except InputError:  # said where an answer is asked for
        return
    ready()
    list(run_all([ready] * processes, processes))


def ready() -> None:
    """What a process does to be ready."""
    import advisor.api  # noqa: F401 - to have it imported
