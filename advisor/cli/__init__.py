"""The command line. It reads options, calls the API once, and shows what comes back.

root.py        the command `advisor` and the list of its subcommands, each loaded when it is used
lazy.py        how a subcommand is loaded late
failures.py    an error becomes one sentence and an exit code
terminal.py    stdout, stderr, width, colour, progress
options.py     options that mean the same everywhere
reference.py   docs/reference/cli.md, written from the commands themselves
<name>.py      one subcommand, or one group of them
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run `advisor` with the arguments of this process and leave with its exit code."""
    from advisor.cli.failures import run
    from advisor.cli.root import root

    sys.exit(run(root, "advisor"))
