"""What the server holds, as gauges: leaks show here. Names of the process are those of Prometheus clients."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Final

from calibration.engine.engine import Engine

_PROC: Final = Path("/proc/self")


def held_text(engine: Engine) -> str:
    """Prometheus text; call it within the server's event loop, whose tasks it counts."""
    gauges: dict[str, int] = {
        f"lora_advisor:held_{name}": count for name, count in engine.holdings._asdict().items()
    }
    gauges["lora_advisor:held_adapters"] = len(engine.adapters)
    gauges["lora_advisor:held_tasks"] = len(asyncio.all_tasks())
    gauges["lora_advisor:held_threads"] = threading.active_count()
    gauges |= _process()
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in gauges.items())


def _process() -> dict[str, int]:
    """Memory and files of this process, where the system tells them (Linux)."""
    try:
        pages = int((_PROC / "statm").read_text().split()[1])
        files = len(list((_PROC / "fd").iterdir())) - 1  # without the one that lists them
    except OSError:
        return {}
    return {"process_resident_memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"), "process_open_fds": files}
