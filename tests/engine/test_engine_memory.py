"""KV blocks of the live engine: preemption, prefixes that are computed once, what is overwritten."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")


from calibration.engine.options import EngineOptions
from tests.engine.conftest import Tiny
from tests.engine.models import some_tokens
from tests.engine.running import ask, assert_greedy, engine_for, run


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
