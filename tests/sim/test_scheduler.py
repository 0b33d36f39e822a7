"""Each rule of engines.md 5.2 by hand."""

from __future__ import annotations

from advisor.sim.kv import KvBlocks
from advisor.sim.scheduler import Request, Scheduler, StepPlan
from advisor.spec.engine import EngineLimits


def scheduler(kv_blocks: int = 100, *, draft_length: int = 0, **limits: object) -> Scheduler:
    given = {"max_num_seqs": 8, "max_num_batched_tokens": 100, "kv_block_tokens": 4, **limits}
    if given.get("max_loras"):
        given = {"max_cpu_loras": given["max_loras"], "max_lora_rank": 8, **given}
    return Scheduler(EngineLimits.model_validate(given), KvBlocks(kv_blocks), draft_length)


def parts(plan: StepPlan) -> list[tuple[int, int, int]]:
    """(request, new tokens, context) in the order of the step."""
    return [(share.request.index, share.new_tokens, share.context_tokens) for share in plan.shares]


def step(engine: Scheduler) -> StepPlan:
    """Schedule and run one step; every emitting share gets a token."""
    plan = engine.schedule()
    engine.finish_step(plan, [int(share.emits) for share in plan.shares])
    engine.check_invariants()
    return plan


def add(engine: Scheduler, index: int, prompt: int, output: int = 9, **more: object) -> Request:
    request = Request(index, prompt, output, **more)  # type: ignore[arg-type]  # keywords of the test's choice
    engine.add(request)
    return request


def test_a_prompt_is_cut_at_the_token_budget_and_the_rest_runs_after_the_decodes() -> None:
    engine = scheduler(max_num_batched_tokens=10)
    add(engine, 0, prompt=4)
    add(engine, 1, prompt=9)
    assert parts(step(engine)) == [(0, 4, 0), (1, 6, 0)]
    assert parts(step(engine)) == [(0, 1, 4), (1, 3, 6)]
    assert parts(step(engine)) == [(0, 1, 5), (1, 1, 9)]


def test_an_older_unfinished_prompt_takes_its_chunk_before_younger_decodes() -> None:
    engine = scheduler(max_num_batched_tokens=5, long_prefill_token_threshold=3)
    add(engine, 0, prompt=12)
    add(engine, 1, prompt=2)
    assert parts(step(engine)) == [(0, 3, 0), (1, 2, 0)]
    add(engine, 2, prompt=2)
    assert parts(step(engine)) == [(0, 3, 3), (1, 1, 2), (2, 1, 0)]


def test_younger_decodes_miss_a_step_without_budget() -> None:
    engine = scheduler(max_num_batched_tokens=2)
    for index in range(3):
        add(engine, index, prompt=1)
    assert parts(step(engine)) == [(0, 1, 0), (1, 1, 0)]
    assert parts(step(engine)) == [(0, 1, 1), (1, 1, 1)]
    assert [request.index for request in engine.waiting] == [2]


def test_the_threshold_for_long_prefills_is_off_for_a_request_that_is_alone() -> None:
    engine = scheduler(long_prefill_token_threshold=3)
    add(engine, 0, prompt=12)
    assert parts(step(engine)) == [(0, 12, 0)]


def test_a_waiting_request_is_passed_over_while_max_loras_others_run() -> None:
    engine = scheduler(max_loras=1)
    add(engine, 0, prompt=4, adapter=7)
    add(engine, 1, prompt=4, adapter=8)
    add(engine, 2, prompt=4, adapter=7)
    add(engine, 3, prompt=4)
    plan = step(engine)
    assert [index for index, _, _ in parts(plan)] == [0, 2, 3]
    assert [request.index for request in engine.waiting] == [1]
    assert plan.loads == [(7, 2)]


def test_slot_residency_gives_no_priority() -> None:
    engine = scheduler(max_loras=2)
    add(engine, 0, prompt=4, output=1, adapter=7)
    step(engine)
    for index, adapter in ((1, 8), (2, 9), (3, 7)):
        add(engine, index, prompt=4, adapter=adapter)
    assert [index for index, _, _ in parts(step(engine))] == [1, 2]


def test_a_prompt_that_does_not_fit_into_the_free_blocks_is_a_barrier() -> None:
    engine = scheduler(kv_blocks=5)
    add(engine, 0, prompt=12)
    add(engine, 1, prompt=12)
    add(engine, 2, prompt=1)
    assert [index for index, _, _ in parts(step(engine))] == [0]


def test_admission_needs_blocks_for_the_whole_prompt_but_takes_those_of_the_chunk() -> None:
    engine = scheduler(kv_blocks=4, max_num_batched_tokens=8)
    add(engine, 0, prompt=16)
    step(engine)
    assert engine.kv.free == 2
    engine = scheduler(kv_blocks=3, max_num_batched_tokens=8)
    add(engine, 0, prompt=16)
    assert not engine.schedule().shares


def test_the_newest_is_preempted_goes_to_the_front_and_nobody_is_admitted_in_that_step() -> None:
    engine = scheduler(kv_blocks=4)
    oldest = add(engine, 0, prompt=8)
    newest = add(engine, 1, prompt=8)
    step(engine)
    add(engine, 2, prompt=1)
    plan = step(engine)
    assert plan.preempted == [newest]
    assert parts(plan) == [(0, 1, 8)]
    assert [request.index for request in engine.waiting] == [1, 2]
    assert engine.kv.free == 1
    assert (newest.computed_tokens, newest.emitted_tokens, newest.preemptions) == (0, 1, 1)
    while oldest in engine.running:  # request 1 needs 3 blocks for prompt and answer: a barrier for request 2
        assert [index for index, _, _ in parts(step(engine))] == [0]
    assert parts(step(engine)) == [(1, 9, 0), (2, 1, 0)]


def test_the_priority_policy_serves_and_spares_the_urgent() -> None:
    engine = scheduler(kv_blocks=4, policy="priority", max_num_seqs=2)
    late = add(engine, 0, prompt=8, priority=5, arrival=0.0)
    step(engine)
    urgent = add(engine, 1, prompt=8, priority=1, arrival=1.0)
    add(engine, 2, prompt=8, priority=0, arrival=2.0)
    engine.waiting.remove(engine.waiting[0])  # request 2 is the first in line; let 1 in
    assert engine.waiting == [urgent]
    plan = step(engine)  # request 0 needs a third block: 1 is free
    assert parts(plan) == [(0, 1, 8)]
    assert engine.kv.free == 1
    engine.kv.release(99, 1)  # one block more, so that the prompt fits
    engine.kv.blocks += 1
    assert parts(step(engine)) == [(0, 1, 9), (1, 8, 0)]
    plan = engine.schedule()
    assert plan.preempted == [late]
    assert parts(plan) == [(1, 1, 8)]


def test_after_a_preemption_even_an_urgent_request_that_fits_waits_a_step() -> None:
    engine = scheduler(kv_blocks=5, policy="priority", max_num_seqs=2)
    victim = add(engine, 0, prompt=6, priority=5)
    add(engine, 1, prompt=12, priority=1)
    step(engine)
    add(engine, 2, prompt=1, priority=0)  # no seat yet
    plan = step(engine)  # 1 takes its fourth block from 0, whose seat and other block are free now
    assert (parts(plan), plan.preempted, engine.kv.free) == ([(1, 1, 12)], [victim], 1)
    assert parts(step(engine)) == [(1, 1, 13), (2, 1, 0)]


def test_a_victim_that_had_its_part_gives_it_back_and_nobody_is_forgotten() -> None:
    engine = scheduler(kv_blocks=6, policy="priority")
    victim = add(engine, 0, prompt=6, priority=5)
    step(engine)
    add(engine, 1, prompt=12, priority=1)
    add(engine, 2, prompt=1, priority=2)
    step(engine)
    plan = engine.schedule()  # 0 finds room in its second block; 1 needs a fourth and takes it from 0
    assert plan.preempted == [victim]
    assert parts(plan) == [(1, 1, 12), (2, 1, 1)]
    assert plan.tokens == 2


def test_a_request_that_preempts_itself_ends_the_list_and_the_step_may_be_empty() -> None:
    engine = scheduler(kv_blocks=5, policy="priority")
    victim = add(engine, 0, prompt=7, priority=5)
    step(engine)
    add(engine, 1, prompt=12, priority=1)
    step(engine)
    plan = engine.schedule()  # 0 needs a third block, none is free, and it is the least urgent
    assert (plan.shares, plan.preempted) == ([], [victim])
    assert parts(step(engine)) == [(1, 1, 12)]


def test_drafts_take_budget_and_blocks_and_a_decode_without_room_ends_the_step() -> None:
    engine = scheduler(max_num_batched_tokens=6, draft_length=3)
    add(engine, 0, prompt=3)
    add(engine, 1, prompt=3)
    assert parts(step(engine)) == [(0, 3, 0), (1, 3, 0)]
    add(engine, 2, prompt=1)
    plan = engine.schedule()
    assert parts(plan) == [(0, 4, 3)]
    assert engine.running[0].kv_blocks == 2
    assert [request.index for request in engine.waiting] == [2]


def test_an_overlapped_load_keeps_its_slot_until_its_request_runs() -> None:
    engine = scheduler(max_loras=1, load_mode="overlapped")
    add(engine, 0, prompt=4, output=1, adapter=7)
    add(engine, 1, prompt=4, adapter=8)
    add(engine, 2, prompt=4, output=1)
    plan = step(engine)
    assert plan.loads == [(7, 2)]
    assert [index for index, _, _ in parts(plan)] == [2]
    assert not step(engine).shares
    engine.adapter_ready(7)
    assert [index for index, _, _ in parts(step(engine))] == [0]
    assert step(engine).loads == [(8, 2)]


def test_a_preempted_request_finds_what_is_left_of_its_own_blocks() -> None:
    limits = EngineLimits(max_num_seqs=8, max_num_batched_tokens=100, kv_block_tokens=4)
    engine = Scheduler(limits, KvBlocks(6, keeps=True))
    old, new = add(engine, 0, prompt=8, output=5), add(engine, 1, prompt=12, output=9)
    step(engine)  # 2 and 3 blocks, 1 left
    step(engine)  # both begin a block: the newest must go, with 3 full blocks of 12 tokens
    assert (new.preemptions, engine.kv.free) == (1, 3)
    assert engine.kv.match(1) == (3, 3)
    for _ in range(3):
        step(engine)  # the old one stays in its third block: none is overwritten
    assert old.emitted_tokens == old.output_tokens
    plan = step(engine)
    assert parts(plan) == [(1, 1, 12)]  # the token of its first step alone is computed


def test_what_others_took_of_a_preempted_request_is_lost_from_its_end() -> None:
    kv = KvBlocks(10, keeps=True)
    kv.take(6)
    kv.release(5, 6, computed=4)  # two blocks were not full
    assert (kv.match(5), kv.tracks) == ((4, 4), True)
    kv.take(4 + 2 + 1)  # never used, torn, the fourth
    assert kv.match(5) == (3, 3)
    kv.hold(5)
    assert (kv.free, kv.tracks, kv.match(5)) == (0, False, (0, 0))


def test_without_prefix_caching_a_preempted_request_finds_nothing() -> None:
    kv = KvBlocks(10)
    kv.take(6)
    kv.release(5, 6, computed=4)
    assert (kv.match(5), kv.free, kv.tracks) == ((0, 0), 10, False)
