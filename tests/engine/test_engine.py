from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.sim.kv import KvBlocks
from advisor.sim.scheduler import Request, Scheduler
from advisor.steptime.batch import Batch
from calibration.engine.books import batch_of
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.sampler import Sampling
from calibration.engine.speculate import NgramDraft
from tests.engine.conftest import Tiny
from tests.engine.models import ADAPTERS, likeliest_answer, save_adapter, some_tokens
from tests.engine.running import engine_for, run

ALL = [None, *ADAPTERS]
LENGTHS = [1, 2, 4, 5, 9, 16, 30]


def ask(engine: Engine, wishes: list[tuple[list[int], str | None, int]], **more: Any) -> list[int]:
    """Add requests: (prompt, adapter, tokens)."""
    return [engine.add_request(p, adapter=a, max_tokens=n, **more) for p, a, n in wishes]


def assert_greedy(
    tiny: Tiny, wishes: list[tuple[list[int], str | None, int]], answers: list[list[int]]
) -> None:
    for (prompt, adapter, count), answer in zip(wishes, answers, strict=True):
        folder = tiny.adapters[adapter] if adapter else None
        assert len(answer) == count
        assert answer == likeliest_answer(tiny.model, prompt, answer, folder)


def test_a_mixed_batch_answers_as_transformers_and_peft_do(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters)
    wishes = [(some_tokens(7 + 5 * i, i), adapter, 9 - i) for i, adapter in enumerate(ALL)]
    ids = ask(engine, wishes)
    answers = run(engine)
    assert_greedy(tiny, wishes, [answers[i] for i in ids])
    assert max(step.batch.adapters for step in engine.books.steps) == 4
    assert any(step.batch.decodes and step.batch.chunks for step in engine.books.steps)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=st.lists(
        st.tuples(st.sampled_from(LENGTHS), st.sampled_from(ALL), st.integers(1, 8), st.integers(0, 3)),
        min_size=1,
        max_size=7,
    ),
    budget=st.integers(3, 40),
    seats=st.integers(1, 8),
    blocks=st.integers(10, 40),
    slots=st.integers(1, 3),
    prefix_caching=st.booleans(),
    draft=st.sampled_from([None, NgramDraft(2, shortest_match=1)]),
    load_mode=st.sampled_from(["blocking", "overlapped"]),
    policy=st.sampled_from(["fcfs", "priority"]),
)
def test_whatever_the_company_each_request_gets_the_tokens_it_gets_alone(
    tiny: Tiny,
    alone: dict[Any, list[int]],
    wishes: list[tuple[int, str | None, int, int]],
    budget: int,
    seats: int,
    blocks: int,
    slots: int,
    prefix_caching: bool,
    draft: NgramDraft | None,
    load_mode: str,
    policy: str,
) -> None:
    engine = engine_for(
        tiny.model,
        tiny.adapters,
        EngineOptions(kv_blocks=blocks, draft=draft),
        max_num_batched_tokens=budget,
        max_num_seqs=seats,
        max_loras=slots,
        max_cpu_loras=slots + 1,
        prefix_caching=prefix_caching,
        load_mode=load_mode,
        policy=policy,
    )
    ids = [
        engine.add_request(some_tokens(30)[:size], adapter=adapter, max_tokens=count, priority=priority)
        for size, adapter, count, priority in wishes
    ]
    answers = run(engine)
    engine.close()
    for index, (size, adapter, count, _) in zip(ids, wishes, strict=True):
        assert answers[index] == alone[size, adapter][:count]


@pytest.fixture(scope="module")
def alone(tiny: Tiny) -> dict[Any, list[int]]:
    """Eight tokens after each beginning of one text, by an engine that runs one request at a time."""
    engine = engine_for(tiny.model, tiny.adapters, max_num_seqs=1, prefix_caching=False)
    wishes = [(some_tokens(30)[:size], adapter, 8) for size in LENGTHS for adapter in ALL]
    ids = ask(engine, wishes)
    answers = run(engine, 3000)
    for place in (0, 17, 34):
        assert_greedy(tiny, [wishes[place]], [answers[ids[place]]])
    return {(len(wish[0]), wish[1]): answers[index] for wish, index in zip(wishes, ids, strict=True)}


def test_preempted_requests_answer_as_if_nothing_had_happened(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, EngineOptions(kv_blocks=16), prefix_caching=False)
    wishes = [(some_tokens(10, i), adapter, 14) for i, adapter in enumerate([None, "plain", "stabilised"])]
    ids = ask(engine, wishes)
    answers = run(engine)
    assert engine.books.counters.preemptions > 0
    assert_greedy(tiny, wishes, [answers[i] for i in ids])


def test_a_request_that_preempts_itself_costs_no_empty_step(tiny: Tiny) -> None:
    options = EngineOptions(kv_blocks=10)
    engine = engine_for(tiny.model, options=options, policy="priority", prefix_caching=False)
    engine.add_request(some_tokens(16), max_tokens=12, priority=5)
    engine.step()
    engine.add_request(some_tokens(16), max_tokens=12, priority=0)
    while engine.busy:
        before = engine.books.counters.steps
        engine.step()
        assert engine.books.counters.steps == before + 1
    assert engine.books.counters.preemptions == 1


def test_a_prefix_is_computed_once_for_each_adapter(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters)
    common = some_tokens(22)
    for adapter in (None, "plain"):
        for tail in (1, 2):
            wishes: list[Any] = [([*common, tail], adapter, 5)]
            ids = ask(engine, wishes)
            before = engine.books.counters.cached_tokens
            assert_greedy(tiny, wishes, [run(engine)[ids[0]]])
            assert engine.books.counters.cached_tokens - before == (20 if tail == 2 else 0)


def test_a_whole_prompt_in_the_cache_still_computes_its_last_token(tiny: Tiny) -> None:
    engine = engine_for(tiny.model)
    for expected in (0, 12):
        ask(engine, [(some_tokens(16), None, 3)])
        run(engine)
        assert engine.books.counters.cached_tokens == expected


def test_without_prefix_caching_nothing_is_reused(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, prefix_caching=False)
    for _ in range(2):
        ask(engine, [(some_tokens(16), None, 3)])
        run(engine)
    assert engine.books.counters.cached_tokens == 0


def test_a_prompts_tail_is_overwritten_before_its_head(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, options=EngineOptions(kv_blocks=8))
    first: list[Any] = [(some_tokens(17, 1), None, 4)]
    other: list[Any] = [(some_tokens(25, 2), None, 4)]
    for wishes in (first, other, first):
        ids = ask(engine, wishes)
        assert_greedy(tiny, wishes, [run(engine)[ids[0]]])
    assert engine.books.counters.cached_tokens == 4  # of 8 blocks the other prompt took 7


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


def test_aborted_requests_leave_nothing_behind(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, max_num_seqs=2)
    ids = ask(engine, [(some_tokens(9, i), "plain", 9) for i in range(3)])
    engine.step()
    for index in (ids[0], ids[2]):  # one runs, one waits
        ended = engine.abort(index)
        assert ended is not None
        assert ended.reason == "abort"
        engine.check_invariants()
    assert engine.abort(ids[0]) is None
    assert set(run(engine)) == {ids[1]}
    assert engine.books.steps[-1].kv_free_blocks == 128


def test_an_answer_ends_at_its_first_stop_token(tiny: Tiny) -> None:
    engine, prompt = engine_for(tiny.model), some_tokens(8)
    (index,) = ask(engine, [(prompt, None, 12)])
    answer = run(engine)[index]
    stop = answer[5]
    ask(engine, [(prompt, None, 12)], stops=[stop])
    outputs = []
    while engine.busy:
        outputs += engine.step()
    assert [t for output in outputs for t in output.tokens] == answer[: answer.index(stop) + 1]
    assert [output.reason for output in outputs][-1] == "stop"


def test_the_end_token_of_the_model_ends_an_answer_unless_it_is_ignored(tiny: Tiny, tmp_path: Path) -> None:
    import json

    prompt = some_tokens(8)
    engine = engine_for(tiny.model)
    (index,) = ask(engine, [(prompt, None, 8)])
    answer = run(engine)[index]
    ending = shutil.copytree(tiny.model, tmp_path / "ending")
    config = json.loads((ending / "config.json").read_text())
    (ending / "config.json").write_text(json.dumps({**config, "eos_token_id": [answer[3]]}))
    engine = engine_for(ending)
    ids = ask(engine, [(prompt, None, 8)]) + ask(engine, [(prompt, None, 8)], ignore_eos=True)
    answers = run(engine)
    assert answers[ids[0]] == answer[: answer.index(answer[3]) + 1]
    assert answers[ids[1]] == answer


def test_times_are_in_order_and_steps_add_up(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters)
    (index,) = ask(engine, [(some_tokens(40), "plain", 4)])
    live = engine.live(index)
    run(engine)
    assert live.scheduled_s is not None
    assert live.first_token_s is not None
    assert live.last_token_s is not None
    assert live.arrival_s <= live.scheduled_s < live.first_token_s < live.last_token_s
    steps = list(engine.books.steps)
    for step in steps:
        parts = step.schedule_s + step.load_s + step.draft_s + step.model_s + step.sample_s
        assert 0 < parts <= step.end_s - step.start_s
    assert [step.batch for step in steps] == [
        Batch(0, 0, ((32, 0),), 0, 0, 1),
        Batch(0, 0, ((8, 32),), 1, 0, 1),
        *(Batch(1, context, (), 1, 0, 1) for context in (40, 41, 42)),
    ]
    counters = engine.books.counters
    assert (counters.steps, counters.prompt_tokens, counters.emitted_tokens) == (5, 40, 4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from(ALL), st.integers(1, 12)), min_size=1, max_size=8
    ),
    budget=st.integers(1, 40),
    seats=st.integers(1, 8),
    blocks=st.integers(11, 30),
)
def test_every_step_is_the_step_that_the_simulator_takes(
    tiny: Tiny, wishes: list[tuple[int, str | None, int]], budget: int, seats: int, blocks: int
) -> None:
    engine = engine_for(
        tiny.model,
        tiny.adapters,
        EngineOptions(kv_blocks=blocks),
        max_num_batched_tokens=budget,
        max_num_seqs=seats,
        max_loras=2,
        prefix_caching=False,
    )
    simulated = Scheduler(engine.limits, KvBlocks(blocks))
    for index, (size, adapter, count) in enumerate(wishes):
        engine.add_request(some_tokens(size), adapter=adapter, max_tokens=count)
        simulated.add(
            Request(index, size, count, -1 if adapter is None else list(tiny.adapters).index(adapter))
        )
    run(engine)
    batches = []
    while simulated.running or simulated.waiting:
        plan = simulated.schedule()
        if plan.shares:
            batches.append(batch_of(plan, 0))
            simulated.finish_step(plan, [int(share.emits) for share in plan.shares])
    assert [step.batch for step in engine.books.steps] == batches


def test_temperature_depends_on_the_seed_and_on_no_company(tiny: Tiny) -> None:
    prompt = some_tokens(9)
    warm = [Sampling(temperature=1.5, seed=seed) for seed in (1, 2)]
    together = engine_for(tiny.model, tiny.adapters)
    ids = [
        together.add_request(prompt, adapter=a, max_tokens=10, sampling=s)
        for s in warm
        for a in (None, "plain")
    ]
    answers = run(together)
    for place, (sampling, adapter) in enumerate((s, a) for s in warm for a in (None, "plain")):
        single = engine_for(tiny.model, tiny.adapters, EngineOptions(kv_blocks=16), max_num_batched_tokens=4)
        index = single.add_request(prompt, adapter=adapter, max_tokens=10, sampling=sampling)
        assert run(single)[index] == answers[ids[place]]
    assert len({tuple(answer) for answer in answers.values()}) == 4
