"""The app doing a visitor's journey again and again in one process, without a browser; prints its memory.

python -m benchmarks._soak_app MINUTES PAUSE_S
"""

from __future__ import annotations

import os
import sys
import time

from streamlit.testing.v1 import AppTest

from benchmarks._soak_load import resident_bytes
from tests.web.driver import APP, answered


def main() -> None:
    """Open, ask, read the answer; a line `seconds bytes` after each visit."""
    begin_s, minutes, pause_s = time.perf_counter(), float(sys.argv[1]), float(sys.argv[2])
    while time.perf_counter() < begin_s + 60.0 * minutes:
        app = AppTest.from_file(str(APP), default_timeout=3600)  # the machine may be stopped meanwhile
        answered(app.run())
        assert not app.exception
        print(time.perf_counter() - begin_s, resident_bytes(os.getpid()), flush=True)
        time.sleep(pause_s)


if __name__ == "__main__":
    main()
