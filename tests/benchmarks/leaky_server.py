"""`calibrate serve` with a leak of every kind, for the soak to find.

python -m tests.benchmarks.leaky_server serve OPTIONS
"""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import Any

from calibration.cli import main
from calibration.engine.adapters import AdapterStore
from calibration.engine.engine import Engine
from calibration.server.loop import EngineLoop

KEPT: list[Any] = []


def leak_requests() -> None:
    """Each request leaves a MiB, an open file and a task."""
    submit = EngineLoop.submit

    async def leaky(loop: EngineLoop, ask: Any) -> Any:
        KEPT.append(os.urandom(2**20))
        KEPT.append(os.open(os.devnull, os.O_RDONLY))
        KEPT.append(asyncio.create_task(asyncio.Event().wait()))
        return await submit(loop, ask)

    EngineLoop.submit = leaky  # type: ignore[method-assign,assignment]


def leak_engine() -> None:
    """Every tenth request that was done with leaves a KV block; unloaded adapters stay."""
    abort, calls = Engine.abort, itertools.count(1)

    def leaky(engine: Engine, request: int) -> Any:
        if next(calls) % 10 == 0:
            engine._scheduler.pool.take(1)
        return abort(engine, request)

    Engine.abort = leaky  # type: ignore[method-assign,assignment]
    AdapterStore.retire = lambda *_: None  # type: ignore[method-assign]


if __name__ == "__main__":
    leak_requests()
    leak_engine()
    main()
