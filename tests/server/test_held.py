"""What the server tells of itself: leaks show in these gauges."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from calibration.server.serve import ServeOptions, bound_kernel_caches, build, running
from tests.server.conftest import setup_of
from tests.server.test_server import gauge, get, greedy, post


def held(url: str) -> dict[str, float]:
    lines = get(url, "/metrics")[1].splitlines()
    pairs = [line.split() for line in lines if line.startswith(("lora_advisor:held_", "process_"))]
    return {name.removeprefix("lora_advisor:held_"): float(value) for name, value in pairs}


def test_adapters_and_their_slots_come_and_go(folders: dict[str, Path]) -> None:
    options = ServeOptions(port=0, served_name="base", adapter_root=folders["root"])
    with running(build(setup_of(folders), options), options) as url:
        before = held(url)
        assert (before["adapters"], before["slots_filled"], before["requests"]) == (1, 0, 0)
        post(url, "/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "other"})
        assert post(url, "/v1/completions", greedy(model="new"))[0] == 200
        filled = held(url)
        assert (filled["adapters"], filled["adapters_known"], filled["slots_filled"]) == (2, 2, 1)
        assert filled["step_records"] > before["step_records"]
        post(url, "/v1/unload_lora_adapter", {"lora_name": "new"})
        after = held(url)
    differs = {"step_records", "process_resident_memory_bytes", "process_open_fds"}
    assert {name: count for name, count in after.items() if name not in differs} == {
        name: count for name, count in before.items() if name not in differs
    }


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_the_process_is_told_as_the_system_sees_it(address: str) -> None:
    text = get(address, "/metrics")[1]
    status = Path("/proc/self/status").read_text()
    resident = 1024 * int(status.split("VmRSS:")[1].split()[0])
    assert gauge(text, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.1)
    assert gauge(text, "process_open_fds") > 3


def test_kernel_caches_are_bounded_but_for_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "")
    monkeypatch.delenv("LRU_CACHE_CAPACITY")
    bound_kernel_caches()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    assert os.environ["LRU_CACHE_CAPACITY"] == "128"
