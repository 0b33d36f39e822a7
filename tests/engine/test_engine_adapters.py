"""Adapters of the live engine: merged, in slots, loading, gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")


from advisor.errors import InputError
from calibration.engine.options import EngineOptions
from tests.engine.conftest import Tiny
from tests.engine.models import likeliest_answer, save_adapter, some_tokens
from tests.engine.running import ask, assert_greedy, engine_for, run


def test_merging_changes_the_answers_and_forgets_cached_prefixes(tiny: Tiny) -> None:
    engine, prompt = engine_for(tiny.model, tiny.adapters), some_tokens(18)
    ids = ask(engine, [(prompt, None, 6), (prompt, "plain", 6)])
    answers = run(engine)
    assert engine.merge_adapter(tiny.adapters["plain"]) > 0
    (merged,) = ask(engine, [(prompt, None, 6)])
    assert run(engine)[merged] == answers[ids[1]] != answers[ids[0]]
    with pytest.raises(InputError, match="while an adapter is merged"):
        ask(engine, [(prompt, "plain", 6)])
    engine.unmerge_adapter()
    (back,) = ask(engine, [(prompt, None, 6)])
    assert run(engine)[back] == answers[ids[0]]
    assert engine.books.counters.cached_tokens == 0


def test_merging_waits_for_nobody_and_nothing_is_merged_twice(tiny: Tiny) -> None:
    engine = engine_for(tiny.model)
    ask(engine, [(some_tokens(3), None, 2)])
    with pytest.raises(InputError, match="1 requests are under way"):
        engine.merge_adapter(tiny.adapters["plain"])
    run(engine)
    with pytest.raises(InputError, match="no adapter is merged"):
        engine.unmerge_adapter()
    engine.merge_adapter(tiny.adapters["plain"])
    with pytest.raises(InputError, match="is merged; allowed: one"):
        engine.merge_adapter(tiny.adapters["stabilised"])


def test_slots_and_host_memory_are_least_recently_used(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_loras=1, max_cpu_loras=2, max_num_seqs=1)
    for adapter in ("plain", "stabilised", "plain", "patterns", "stabilised"):
        ask(engine, [(some_tokens(4), adapter, 2)])
        run(engine)
    assert [(load.name, load.from_disk) for load in engine.books.loads] == [
        ("plain", True),
        ("stabilised", True),
        ("plain", False),
        ("patterns", True),
        ("stabilised", True),
    ]
    counters = engine.books.counters
    assert (counters.loads_from_disk, counters.loads_from_cpu) == (4, 1)
    assert all(load.slot_s > 0 and load.slot_bytes > 0 for load in engine.books.loads)
    assert [load.disk_s > 0 for load in engine.books.loads] == [True, True, False, True, True]


def test_an_adapter_evicted_and_brought_back_in_one_step_gets_a_slot(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_loras=2, max_cpu_loras=4)
    for adapter in ("plain", "stabilised"):
        ask(engine, [(some_tokens(4), adapter, 2)])
        run(engine)
    wishes: list[Any] = [(some_tokens(6), "patterns", 3), (some_tokens(7), "plain", 3)]
    ids = ask(engine, wishes)
    answers = run(engine)
    assert_greedy(tiny, wishes, [answers[index] for index in ids])
    assert [(load.name, load.from_disk) for load in engine.books.loads][2:] == [
        ("patterns", True),
        ("plain", False),
    ]


def test_an_overlapped_load_lets_the_others_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    from calibration.engine.peft import read_adapter as read

    go = Event()

    def slow(*given: Any) -> Any:
        assert go.wait(10)
        return read(*given)

    monkeypatch.setattr("calibration.engine.adapters.read_adapter", slow)
    engine = engine_for(tiny.model, tiny.adapters, load_mode="overlapped")
    wishes = [(some_tokens(6), "plain", 3), (some_tokens(6, 1), None, 4)]
    ids = ask(engine, wishes)
    answers: dict[int, list[int]] = {index: [] for index in ids}
    for _ in range(4):
        for output in engine.step():
            answers[output.request] += output.tokens
        engine.check_invariants()
    assert [len(answers[index]) for index in ids] == [0, 4]
    assert engine.step() == []
    go.set()
    answers[ids[0]] = run(engine)[ids[0]]
    engine.close()
    assert_greedy(tiny, wishes, [answers[index] for index in ids])


def test_a_load_that_nobody_waits_for_any_more_leaves_its_slot_idle(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, load_mode="overlapped", max_loras=1)
    (index,) = ask(engine, [(some_tokens(6), "plain", 3)])
    engine.step()
    engine.abort(index)
    engine.check_invariants()
    wishes: list[Any] = [(some_tokens(6), "stabilised", 3)]
    ids = ask(engine, wishes)
    assert_greedy(tiny, wishes, [run(engine)[ids[0]]])
    engine.close()


def test_a_loaded_adapter_whose_request_is_aborted_frees_its_slot(tiny: Tiny) -> None:
    options = EngineOptions(kv_blocks=12)
    engine = engine_for(tiny.model, tiny.adapters, options, load_mode="overlapped", max_loras=1)
    ask(engine, [(some_tokens(20), None, 20)])
    (waits,) = ask(engine, [(some_tokens(40), "plain", 1)])  # for KV blocks, with its adapter in the slot
    while not engine.books.loads:
        engine.step()
        engine.wait(0.1)
    engine.abort(waits)
    wishes: list[Any] = [(some_tokens(6), "stabilised", 3)]
    ids = ask(engine, wishes)
    assert_greedy(tiny, wishes, [run(engine)[ids[0]]])
    engine.close()


@pytest.mark.parametrize("load_mode", ["blocking", "overlapped"])
def test_an_adapter_that_vanishes_fails_its_own_requests_alone(
    load_mode: str, tiny: Tiny, tmp_path: Path
) -> None:
    gone = shutil.copytree(tiny.adapters["plain"], tmp_path / "gone")
    engine = engine_for(tiny.model, {"gone": gone, **tiny.adapters}, load_mode=load_mode, max_loras=2)
    (gone / "adapter_model.safetensors").unlink()
    wishes: list[Any] = [(some_tokens(6), "stabilised", 3), (some_tokens(6, 1), None, 4)]
    lost = ask(engine, [(some_tokens(5), "gone", 3), (some_tokens(7), "gone", 3)])
    ids = ask(engine, wishes)
    outputs = []
    while engine.busy:
        outputs += engine.step()
        engine.check_invariants()
        engine.wait(0.1)
    engine.close()
    failed = {output.request: output for output in outputs if output.reason == "error"}
    assert set(failed) == set(lost)
    assert "no such file" in failed[lost[0]].error
    assert_greedy(
        tiny, wishes, [[t for o in outputs if o.request == index for t in o.tokens] for index in ids]
    )
    assert engine.books.counters.failed_loads == 1
    with pytest.raises(InputError, match="adapter is 'gone'"):
        ask(engine, [(some_tokens(5), "gone", 3)])


def test_an_adapter_that_was_exchanged_after_its_check_fails_its_requests(tiny: Tiny, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.adapters["plain"], tmp_path / "adapter")
    engine = engine_for(tiny.model, {"exchanged": folder})
    save_adapter(folder, r=2)
    ask(engine, [(some_tokens(5), "exchanged", 3)])
    (output,) = engine.step()
    assert output.reason == "error"
    assert "has changed since it was registered" in output.error


def test_an_adapter_registered_again_is_another_one(tiny: Tiny, tmp_path: Path) -> None:
    engine, prompt = engine_for(tiny.model, tiny.adapters, max_loras=2), some_tokens(13)
    ask(engine, [(prompt, "plain", 4)])
    run(engine)
    engine.add_adapter("plain", save_adapter(tmp_path / "new", seed=9))
    (index,) = ask(engine, [(prompt, "plain", 4)])
    answer = run(engine)[index]
    assert answer == likeliest_answer(tiny.model, prompt, answer, tmp_path / "new")
    assert engine.books.counters.cached_tokens == 0
    engine.remove_adapter("plain")
    with pytest.raises(InputError, match="adapter is 'plain'; allowed: one-layer, patterns, stabilised"):
        ask(engine, [(prompt, "plain", 4)])
