"""What an engine holds: nothing of requests that have ended, nothing of adapters that are gone."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

from calibration.engine.config import read_architecture
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.peft import describe_adapter, read_adapter
from tests.engine.conftest import Tiny
from tests.engine.models import some_tokens
from tests.engine.running import ask, assert_greedy, engine_for, run


def held(engine: Engine, *, but: tuple[str, ...] = ("step_records",)) -> dict[str, int]:
    """Counts but for those that may differ."""
    engine.check_invariants()
    return {name: count for name, count in engine.holdings._asdict().items() if name not in but}


def test_an_unloaded_adapter_leaves_nothing_behind(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_loras=2)
    before = held(engine)
    engine.add_adapter("again", tiny.adapters["plain"])
    ask(engine, [(some_tokens(5), "again", 2)])
    run(engine)
    assert held(engine)["slots_filled"] == held(engine)["adapters_in_host"] == 1
    engine.remove_adapter("again")
    assert held(engine) == before


def test_a_name_that_is_registered_again_leaves_its_old_adapter(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, {"one": tiny.adapters["plain"]})
    for _ in range(3):
        ask(engine, [(some_tokens(5), "one", 2)])
        run(engine)
        engine.add_adapter("one", tiny.adapters["stabilised"])
    assert engine.holdings.adapters_known == 1
    assert engine.holdings.slots_filled == engine.holdings.adapters_in_host == 0


@pytest.mark.parametrize("load_mode", ["blocking", "overlapped"])
def test_requests_keep_an_unloaded_adapter_until_the_last_has_ended(tiny: Tiny, load_mode: str) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_loras=2, load_mode=load_mode)
    wishes: list[Any] = [(some_tokens(9), "plain", 3), (some_tokens(6, 1), "plain", 8)]
    ids = ask(engine, wishes)
    engine.step()
    engine.remove_adapter("plain")
    answers: dict[int, list[int]] = {index: list(engine.live(index).answer) for index in ids}
    while engine.busy:
        assert engine.holdings.adapters_known == len(tiny.adapters)
        for output in engine.step():
            answers[output.request] += output.tokens
        engine.check_invariants()
        engine.wait(0.1)
    engine.close()
    assert_greedy(tiny, wishes, [answers[index] for index in ids])
    assert engine.holdings.adapters_known == len(tiny.adapters) - 1
    assert engine.holdings.slots_filled == engine.holdings.adapters_in_host == 0


def test_an_unloaded_adapter_does_not_push_a_living_one_out_of_host_memory(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_loras=1, max_cpu_loras=2)
    for adapter in ("plain", "stabilised"):
        ask(engine, [(some_tokens(4), adapter, 1)])
        run(engine)
    engine.remove_adapter("stabilised")
    for adapter in ("patterns", "plain"):
        ask(engine, [(some_tokens(4), adapter, 1)])
        run(engine)
    assert [load.from_disk for load in engine.books.loads] == [True, True, True, False]


@pytest.mark.parametrize("load_mode", ["blocking", "overlapped"])
@pytest.mark.parametrize("seed", range(3))
def test_an_idle_engine_holds_what_it_held_whatever_happened(tiny: Tiny, load_mode: str, seed: int) -> None:
    rng, names = np.random.default_rng(seed), sorted(tiny.adapters)
    options = EngineOptions(kv_blocks=24)
    engine = engine_for(tiny.model, tiny.adapters, options, max_loras=2, load_mode=load_mode)
    before = held(engine)
    under_way: list[int] = []
    for _ in range(120):
        known = [name for name in names if name in engine.adapters]
        deed = rng.choice(["ask", "ask", "abort", "change", "step", "step"])
        if deed == "ask":
            prompt = some_tokens(int(rng.integers(1, 30)), int(rng.integers(10)))
            adapter = [None, *known][int(rng.integers(len(known) + 1))]
            under_way += ask(engine, [(prompt, adapter, int(rng.integers(1, 10)))])
        elif deed == "abort" and under_way:
            engine.abort(under_way.pop(int(rng.integers(len(under_way)))))
        elif deed == "change":
            change(engine, tiny, names[int(rng.integers(len(names)))], remove=bool(rng.random() < 0.5))
        else:
            engine.step()
            engine.wait(0.1)
        engine.check_invariants()
    run(engine)
    for name in names:
        change(engine, tiny, name, remove=True)
        engine.add_adapter(name, tiny.adapters[name])
    engine.step()  # a load that nobody waits for any more is seen
    engine.close()
    assert held(engine) == before


def change(engine: Engine, tiny: Tiny, name: str, *, remove: bool) -> None:
    """Remove an adapter if it is there; add it otherwise, or anew."""
    if remove and name in engine.adapters:
        engine.remove_adapter(name)
    elif not remove:
        engine.add_adapter(name, tiny.adapters[name])


def test_records_are_as_many_as_asked_for(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, options=EngineOptions(kv_blocks=24, keep_records=3))
    ask(engine, [(some_tokens(5), None, 9)])
    run(engine)
    assert engine.books.counters.steps == 9
    assert engine.holdings.step_records == 3


def test_reading_an_adapter_again_and_again_leaves_nothing(tiny: Tiny) -> None:
    shape = read_architecture(tiny.model).shape
    described = describe_adapter(tiny.adapters["plain"], shape)

    def blocks_after(reads: int) -> int:
        for _ in range(reads):
            read_adapter(described, shape)
        gc.collect()
        return sys.getallocatedblocks()

    before = blocks_after(5)
    assert blocks_after(50) - before < 50 * len(
        described.ranks
    )  # safetensors' get_tensor leaves four a module
