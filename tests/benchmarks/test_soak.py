"""The soak finds leaks, and no others."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
pytest.importorskip("uvicorn", reason="no uvicorn; install the extra calibrate")
pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.errors import InputError
from benchmarks._soak_judge import MIB, Growth, Sample, findings, growth
from benchmarks._soak_load import Length
from benchmarks.soak import SERVER, Soak, report, soak_server

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SHORT = Length(minutes=10, requests=120, pause_s=0.0, settle_s=2.0, rounds=2)


def readings(mib_per_minute: float, *, warm_up_mib: float = 0.0, noise_mib: float = 3.0) -> list[Sample]:
    """An hour of a server of 400 MiB, every 10 s; the warm-up is over after a quarter of an hour."""
    rng, seconds = np.random.default_rng(3), np.arange(0.0, 3600.0, 10.0)
    mib = 400.0 + mib_per_minute * seconds / 60 - warm_up_mib * np.clip(1 - seconds / 900, 0, 1)
    mib += rng.normal(0.0, noise_mib, len(seconds))
    return [(float(at_s), int(one * MIB)) for at_s, one in zip(seconds, mib, strict=True)]


@pytest.mark.parametrize(
    ("mib_per_minute", "leaks"), [(0.0, False), (0.2, False), (0.5, True), (10.0, True), (-1.0, False)]
)
def test_a_leak_is_half_a_mebibyte_a_minute_or_more(mib_per_minute: float, leaks: bool) -> None:
    found = growth(readings(mib_per_minute, warm_up_mib=120.0))
    assert found.leaks is leaks
    assert found.per_minute == pytest.approx(mib_per_minute, abs=0.3)
    assert found.first == pytest.approx(280.0, abs=10.0)


def test_a_peak_is_no_leak() -> None:
    samples = readings(0.0)
    peak = [(at_s, resident + int(500 * MIB)) for at_s, resident in samples[-40:]]
    assert not growth(samples[:-40] + peak).leaks


def test_a_small_process_may_move_by_four_mebibytes() -> None:
    small = [(at_s, resident - int(380 * MIB)) for at_s, resident in readings(0.15, noise_mib=0.1)]
    assert growth(small).last - growth(small).middle > 0.02 * growth(small).middle
    assert not growth(small).leaks


def test_few_readings_say_nothing() -> None:
    with pytest.raises(InputError, match="11 readings of memory; allowed: at least 12"):
        growth(readings(0.0)[:11])


def test_an_idle_server_may_hold_more_records_alone() -> None:
    before = {"tasks": 2, "kv_blocks": 0, "step_records": 5, "resident_memory_bytes": 10}
    assert findings(before, before | {"step_records": 1000, "resident_memory_bytes": 10**9}, {}) == []
    assert findings(before, before | {"tasks": 1}, {}) == []
    (found,) = findings(before, before | {"kv_blocks": 3}, {})
    assert found == "the idle server holds 3 kv_blocks, and held 0 before."


@LINUX
@pytest.mark.slow
def test_the_server_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        monkeypatch.setenv(name, "24")  # full after a few requests
    rounds: list[dict[str, int]] = []
    done = soak_server(SHORT, tell=lambda so_far: rounds.append(so_far.after))
    assert len(rounds) == 2
    assert findings(done.before, rounds[0], {}) == []
    memory = growth(done.samples)
    assert findings(done.before, done.after, {"server": memory}) == []
    assert done.before["adapters_known"] == done.before["requests"] == 0
    assert done.after["step_records"] > 120
    assert all(done.ends[kind] > 10 for kind in ("whole", "streamed", "dropped", "refused"))
    assert done.ends["changed"] > 5
    soak = Soak(done, {"server": memory}, 0, [])
    assert report(soak).rstrip().endswith("No leak.")
    assert "**Leak**: it grows." in report(replace(soak, findings=["it grows."]))


@LINUX
@pytest.mark.slow
def test_every_kind_of_leak_is_found() -> None:
    command = [*SERVER]
    command[command.index("calibration.cli")] = "tests.benchmarks.leaky_server"
    done = soak_server(replace(SHORT, requests=90, settle_s=0.5), command)
    memory: dict[str, Growth] = {"server": growth(done.samples)}
    found = findings(done.before, done.after, memory)
    assert found[0].startswith("server grows: ")
    more = {one.split(" holds ")[1].split(" ")[1].rstrip(",") for one in found[1:]}
    assert more == {"tasks", "open_fds", "kv_blocks", "adapters_known", "adapters_in_host", "slots_filled"}


def test_a_server_that_does_not_start_is_one_sentence() -> None:
    with pytest.raises(InputError, match="ended before it told its address"):
        soak_server(SHORT, [sys.executable, "-c", ""])
