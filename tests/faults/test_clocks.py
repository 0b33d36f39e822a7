"""Clocks that jump while something is measured: no figure may follow them."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.replayed import ReplayResult
from calibration.endpoint.ask import Bounds, Prober, SpentError
from calibration.endpoint.beat import Beat
from calibration.replay.client import Target
from calibration.replay.servers import KINDS
from calibration.replay.whole import Asked, replay_trace
from tests.faults.load import prompts_of, written
from tests.faults.server import Misbehaving, misbehaving

DAY_S = 86400.0


async def patient(delay_s: float, true: Any = asyncio.sleep) -> None:
    """A wait until a clock that leapt comes back is a failure, and no hanging test."""
    assert delay_s < DAY_S / 2
    await true(delay_s)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day leaps by days, to and fro, with every look at it, also by names bound at import."""
    true, true_ns = time.time, time.time_ns  # noqa: TID251 - it is what jumps
    jumps_s = itertools.cycle([0.0, -9 * DAY_S, 40 * DAY_S, -1.0, 3600.0])
    jumping: dict[Any, Any] = {
        true: lambda: 1e-9 * true_ns() + next(jumps_s),
        true_ns: lambda: true_ns() + int(1e9 * next(jumps_s)),
    }
    modules = [one for name, one in sys.modules.items() if name.startswith(("calibration.", "advisor."))]
    for module in (time, *modules):
        for name, value in list(vars(module).items()):
            if value is true or value is true_ns:
                monkeypatch.setattr(module, name, jumping[value])
    monkeypatch.setattr(asyncio, "sleep", patient)


def replayed(folder: Path) -> ReplayResult:
    """Some requests that never end among good ones."""
    silent = set(prompts_of(20)[5:8])
    with misbehaving(Misbehaving(lambda prompt: "silent" if prompt in silent else "")) as server:
        asked = Asked(written(folder, 20), folder / "r.parquet", url=server.url, model="m", timeout=3.0)
        return replay_trace(asked, None)


def test_times_of_a_replay_come_from_a_clock_that_does_not_jump(jumping: None, tmp_path: Path) -> None:
    before_s = time.perf_counter()
    result = replayed(tmp_path)
    took_s = time.perf_counter() - before_s
    assert set(result.status[5:8].tolist()) == {"timeout"}  # and no time came early or never
    assert int(result.done.sum()) > 0
    for times in (result.sent_s, result.first_token_s[result.done], result.last_token_s[result.done]):
        assert (times >= 0).all()
        assert (times <= took_s).all()
    assert (result.first_token_s >= result.sent_s)[result.done].all()
    assert (result.itl_s >= 0).all()
    assert (np.diff(result.sent_s[result.done]) >= 0).all()
    assert 0 <= result.header.lateness_max_s <= took_s


def test_the_budget_of_an_endpoint_and_its_times_do_not_jump(jumping: None) -> None:
    """Ten good answers, then one that never comes: the budget ends it, days to and fro or not."""
    before_s = time.perf_counter()

    async def ask() -> None:
        async with Prober(Target(server.url, "m", KINDS["vllm"]), Bounds(3.0, 100, 2)) as prober:
            beat = Beat()
            beating = asyncio.ensure_future(beat.run())
            for place in range(10):
                answer = await prober.ask([place], 4)
                assert before_s < answer.sent_s < answer.part_s[0] <= answer.part_s[-1] < time.perf_counter()
            assert 0 < prober.left_s < 3.0
            with pytest.raises(SpentError):
                await prober.ask([99], 4)
            beating.cancel()
            assert all(before_s < low < high < time.perf_counter() for low, high in beat.spans)

    with misbehaving(
        Misbehaving(lambda prompt: "silent" if prompt == (99,) else "", pause_s=0.001)
    ) as server:
        asyncio.run(ask())
