"""The app doing a visitor's journey again and again in one process, without a browser; prints its memory.

python -m benchmarks._soak_app MINUTES
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.web.driver import answered, opened


def main() -> None:
    """Open, ask, read the answer; a line `seconds bytes` after each visit."""
    begin_s = time.perf_counter()
    while time.perf_counter() < begin_s + 60.0 * float(sys.argv[1]):
        answered(opened())
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(time.perf_counter() - begin_s, 4096 * pages, flush=True)


if __name__ == "__main__":
    main()
