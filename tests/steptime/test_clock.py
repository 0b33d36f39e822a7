"""The clock of a replica: parts that add up, lines that hold, terms by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.profile import DraftTerm, HostTerm, MixedAttention
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from tests.profiles import profile, terms


def limits(**changes: object) -> EngineLimits:
    return EngineLimits.model_validate(
        {
            "max_num_seqs": 256,
            "max_num_batched_tokens": 2048,
            "max_loras": 8,
            "max_cpu_loras": 8,
            "max_lora_rank": 16,
        }
        | changes
    )


def clock(
    *, overlapped: bool = False, host_s: float = 1e-3, lora: bool = True, gamma: bool = False
) -> ProfileClock:
    host = HostTerm(
        origin=Origin.MEASURED,
        source="test",
        fixed_s=host_s,
        per_sequence_s=1e-5,
        overlapped=overlapped,
        epsilon_s=2e-4 if overlapped else 0.0,
    )
    knobs = limits() if lora else limits(max_loras=0, max_cpu_loras=0, max_lora_rank=0)
    return ProfileClock(profile(host=host), terms(), knobs, draft=terms().drafts[0] if gamma else None)


def test_a_decode_step_is_the_sum_of_its_terms_by_hand() -> None:
    # 64 sequences with 64 · 1000 tokens of context, 4 adapters, serial host
    parts = clock().parts(Batch(64, 64_000, (), 64, 0, 4))
    assert parts.dense == pytest.approx(6e-3)
    assert parts.attention == pytest.approx(1e-4 + 3e-4 * 63 / 255 + 5e-8 * 64_000)
    assert parts.head == pytest.approx(4e-4 + 2e-4 * 63 / 255)
    assert parts.lora == pytest.approx(1e-3 + 8 * 1e-5 + 4 * 1e-4 + 64 * 1e-6)
    assert parts.host == pytest.approx(1e-3 + 64 * 1e-5)
    assert parts.total == pytest.approx(sum(parts))


def test_decodes_pay_for_the_next_captured_size_and_mixed_steps_do_not() -> None:
    graph = clock().parts(Batch(65, 0, (), 65, 0, 0))
    assert graph.dense == pytest.approx(6e-3 + 2e-3 * 64 / 192)  # as 128
    mixed = clock().parts(Batch(65, 0, ((1, 0),), 66, 0, 0))
    assert mixed.dense == pytest.approx(6e-3 + 2e-3 * 2 / 192)  # as 66


def test_a_batch_of_base_requests_pays_only_what_a_lora_engine_adds_to_every_step() -> None:
    with_lora, without = clock().parts(Batch(8, 800, (), 8)), clock(lora=False).parts(Batch(8, 800, (), 8))
    assert with_lora.lora == pytest.approx(1e-5)
    assert with_lora._replace(lora=0.0) == without


@given(
    decodes=st.integers(1, 200),
    adapters=st.integers(0, 8),
    context=st.integers(0, 2_000_000),
    overlapped=st.booleans(),
    host_ms=st.floats(0, 40),
    gamma=st.sampled_from([0, 3]),
)
def test_a_line_gives_the_parts_of_every_step_in_its_range(
    decodes: int, adapters: int, context: int, overlapped: bool, host_ms: float, gamma: int
) -> None:
    here = clock(overlapped=overlapped, host_s=host_ms * 1e-3, gamma=bool(gamma))
    line = here.decode_line(decodes, adapters, gamma, context)
    assert line.context_low <= context < line.context_high
    parts = here.parts(Batch(decodes, context, (), decodes * (gamma + 1), gamma, adapters))
    for at_zero, slope, part in zip(line.at_zero, line.slope, parts, strict=True):
        assert at_zero + slope * context == pytest.approx(part, rel=1e-9, abs=1e-12)


@given(decodes=st.integers(1, 200), context=st.integers(0, 1_000_000), host_ms=st.floats(0, 40))
def test_an_overlapped_step_takes_the_longer_of_device_and_host(
    decodes: int, context: int, host_ms: float
) -> None:
    batch = Batch(decodes, context, (), decodes, 0, 2)
    serial, over = clock(host_s=host_ms * 1e-3), clock(host_s=host_ms * 1e-3, overlapped=True)
    device = serial.parts(batch).total - serial.parts(batch).host
    assert over.parts(batch).total == pytest.approx(max(device, serial.parts(batch).host) + 2e-4)


def test_a_step_that_drafts_costs_the_draft_and_more_tokens() -> None:
    plain, drafting = clock(), clock(gamma=True)
    one = plain.parts(Batch(4, 4000, (), 4, 0, 1))
    four = drafting.parts(Batch(4, 4000, (), 16, 3, 1))
    assert four.draft == pytest.approx(3 * 1e-5)
    assert four.dense > one.dense
    assert four.attention == one.attention


def test_a_draft_with_weights_follows_where_lengths_change_and_copied_text_need_not() -> None:
    ngram = terms().drafts[0]
    head = ngram.model_copy(update={"method": "eagle3", "per_prompt_token_s": 1e-7})
    undrafted = Batch(4, 4000, ((100, 0),), 4, 0, 1)

    def draft_s(term: DraftTerm, *, follows: bool) -> float:
        one = ProfileClock(profile(), terms(), limits(), draft=term, draft_follows=follows)
        line = one.decode_line(4, 1, 0, 4000)
        assert (line.at_zero.draft > 0) == (one.parts(undrafted).draft > 0)
        return one.parts(undrafted).draft

    assert draft_s(head, follows=True) == pytest.approx(1e-5 + 100 * 1e-7)
    assert draft_s(head, follows=False) == 0.0
    assert draft_s(ngram, follows=True) == 0.0


def test_decodes_beside_prompts_cost_what_was_measured_beside_prompts() -> None:
    mixed = MixedAttention(
        origin=Origin.MEASURED,
        source="test",
        prompt_tokens=(100, 200),
        sequences=(1, 3),
        fixed_s=((1e-3, 3e-3), (2e-3, 6e-3)),
        per_context_token_s=((1e-6, 1e-6), (2e-6, 2e-6)),
    )
    plain = ProfileClock(profile(), terms(), limits())
    beside = ProfileClock(profile(), terms(attn_mixed=mixed), limits())
    alone = Batch(2, 5000, (), 2)
    assert beside.parts(alone) == plain.parts(alone)
    prompt = Batch(0, 0, ((150, 0),), 1)
    assert beside.parts(prompt) == plain.parts(prompt)
    both = beside.parts(Batch(2, 5000, ((150, 0),), 3)).attention - beside.parts(prompt).attention
    assert both == pytest.approx((2e-3 + 4e-3) / 2 + 5000 * 1.5e-6)
    two = beside.parts(Batch(2, 5000, ((250, 0), (50, 0)), 4)).attention
    fresh = plain.parts(Batch(0, 0, ((250, 0), (50, 0)), 2)).attention
    assert two - fresh == pytest.approx(4e-3 + 5000 * 2e-6)  # held beyond the grid, all prompts together
