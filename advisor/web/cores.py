"""How many processes an answer may take: one, unless the operator says more."""

from __future__ import annotations

import os
from typing import Final

from advisor.errors import InputError

VARIABLE: Final = "LORA_ADVISOR_JOBS"
MOST: Final = 256


def jobs() -> int:
    """Processes for one visitor's answer; several visitors ask at once, so one where nothing is said.

    Raises:
        InputError: the operator's variable is no number of processes.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return 1
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= MOST:
        raise InputError(
            f"environment: {VARIABLE} is {given!r:.40}; allowed: a whole number from 1 to {MOST}. "
            "Start the app with --jobs N."
        )
    return int(given)
