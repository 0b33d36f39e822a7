"""What a cold adapter costs: by asking more adapters in turn than fit, and by loading through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from advisor.errors import InputError, MeasurementError
from advisor.spec.engine import EngineLimits
from calibration.endpoint.plan import SHORT
from calibration.endpoint.samples import Heat, Load
from calibration.endpoint.sweep import Sweep

_TURNS: Final = 3
_CHURNS: Final = 3


async def warm_up(sweep: Sweep) -> None:
    """Every adapter once: a first use may read files and make room (InputError: a name is not served)."""
    for name in sweep.adapters:
        await sweep.prober.ask(sweep.prompts.next(SHORT), 2, name)


async def measure_loads(sweep: Sweep, limits: EngineLimits) -> None:
    """TTFT of an adapter that is in a slot, in host memory alone, or on disk, as far as the names reach.

    Caches are least recently used, so asking n adapters in turn finds none of them where fewer than n fit.
    """
    names, slots, cached = sweep.adapters, limits.max_loras, limits.max_cpu_loras
    if not names:
        return
    for _ in range(2 * _TURNS):
        await _ask(sweep, names[0], "warm")
    if slots < len(names) and slots < cached:
        await _in_turn(sweep, names[: min(len(names), cached)], "slot")
    if cached < len(names):
        await _in_turn(sweep, names, "disk")


async def _in_turn(sweep: Sweep, names: Sequence[str], heat: Heat) -> None:
    for name in names:
        await sweep.prober.ask(sweep.prompts.next(SHORT), 1, name)
    for _ in range(_TURNS):
        for name in names:
            await _ask(sweep, name, heat)


async def _ask(sweep: Sweep, name: str, heat: Heat, more_s: float = 0.0) -> None:
    answer = await sweep.prober.ask(sweep.prompts.next(SHORT), 1, name)
    seconds = answer.ttft_s - sweep.overhead.of(SHORT) + more_s
    if seconds > 0:
        sweep.findings.loads.append(Load(heat, seconds))


async def churn(sweep: Sweep, paths: Mapping[str, str]) -> None:
    """Unload and load adapters through the server's API; each is back at the end.

    A load counts with the time of its call, less that of an unload, which does no work: some servers read
    the adapter within the call, others at the first request.

    Raises:
        MeasurementError: an adapter could not be loaded again.
    """
    calls: list[float] = []
    for name, path in paths.items():
        for _ in range(_CHURNS):
            status, away_s = await sweep.prober.post("/v1/unload_lora_adapter", {"lora_name": name})
            if status != 200:
                sweep.findings.note(
                    f"--allow-adapter-churn: the server answers {status} to /v1/unload_lora_adapter, so "
                    "adapters were not loaded through its API."
                )
                return
            load_s = await _load_again(sweep, name, path)
            calls.append(max(load_s - away_s, 0.0))
            await _ask(sweep, name, "churn", calls[-1])
    sweep.findings.facts["load_call_s"] = float(np.median(calls))


async def _load_again(sweep: Sweep, name: str, path: str) -> float:
    """Seconds of the call; made whatever comes, also where the run is interrupted (MeasurementError)."""
    call = asyncio.ensure_future(
        sweep.prober.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
    )
    try:
        back, load_s = await asyncio.shield(call)
    except asyncio.CancelledError:
        await call
        raise
    if back != 200:
        raise MeasurementError(
            f"{sweep.prober.target.url}: adapter {name!r} was unloaded and cannot be loaded again from "
            f"{path!r} ({back}). Load it by hand; --adapter takes NAME=PATH with the server's path."
        )
    return load_s


def paths_of(given: Sequence[str], *, needed: bool) -> dict[str, str]:
    """--adapter NAME or NAME=PATH: name to the server's path ("": not told).

    Raises:
        InputError: a name twice, or no path where loading through the API was allowed.
    """
    found: dict[str, str] = {}
    for text in given:
        name, _, path = text.partition("=")
        if not name or name in found:
            raise InputError(f"--adapter is {text!r}; allowed: each name once, NAME or NAME=PATH.")
        if needed and not path:
            raise InputError(
                f"--adapter is {text!r}; allowed with --allow-adapter-churn: NAME=PATH, the server's path."
            )
        found[name] = path
    return found
