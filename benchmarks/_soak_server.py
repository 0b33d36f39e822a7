"""The built-in server in a process of its own; it prints what it holds whenever SIGUSR1 comes.

python -m benchmarks._soak_server
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading

from advisor.datafiles import data_dir
from advisor.spec.engine import EngineLimits
from calibration.engine.options import EngineOptions
from calibration.livesetup import LiveSetup, set_threads
from calibration.server.app import Serving
from calibration.server.serve import ServeOptions, build, run


def tell(text: str) -> None:
    """A line for the parent."""
    print(text, flush=True)


def held(serving: Serving) -> dict[str, int]:
    """Counts that must be the same whenever the server is idle."""
    scheduler = serving.loop.engine._scheduler
    return {
        "tasks": len(asyncio.all_tasks(asyncio.get_running_loop())),
        "threads": threading.active_count(),
        "unfinished": serving.loop.outstanding,
        "adapters": len(serving.loop.engine.adapters),
        "slots_filled": len(scheduler.adapters.in_slots),
        "kv_free_blocks": scheduler.pool.free,
    }


def main() -> None:
    """Serve the shipped model until SIGTERM."""
    models = data_dir() / "models"
    limits = EngineLimits(
        max_num_seqs=8, max_num_batched_tokens=256, max_loras=2, max_cpu_loras=3, max_lora_rank=16
    )
    set_threads(1)
    options = ServeOptions(port=0, served_name="base", adapter_root=models / "adapters")
    serving = build(LiveSetup(models / "base", limits, EngineOptions(kv_blocks=256)), options)
    signal.signal(signal.SIGUSR1, lambda *_: tell(json.dumps(held(serving))))
    run(serving, options, tell)


if __name__ == "__main__":
    main()
