from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.sim.kv import KvBlocks
from advisor.sim.scheduler import Request, Scheduler
from advisor.steptime.batch import Batch
from calibration.engine.books import batch_of
from calibration.engine.options import EngineOptions
from calibration.engine.sampler import Sampling
from calibration.engine.speculate import NgramDraft
from tests.engine.conftest import Tiny
from tests.engine.models import ADAPTERS, some_tokens
from tests.engine.running import ask, assert_greedy, engine_for, run

ALL = [None, *ADAPTERS]
LENGTHS = [1, 2, 4, 5, 9, 16, 30]


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
