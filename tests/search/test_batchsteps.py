"""Draft lengths by batch size: best at each batch, none where drafts cost more than they yield."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import advisor
from advisor.catalog.capabilities import engine
from advisor.deployment import Choice, Variant
from advisor.errors import InfeasibleError
from advisor.recommendation import Option
from advisor.search.batchsteps import active_adapters, pays_up_to, schedule_of, steps_s
from advisor.search.candidates import variants
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.sim.setup import SpecSetup
from advisor.spec.speculation import Acceptance
from tests.profiles import profile
from tests.questions import question, scenario

LENGTHS = (1, 3, 5)
SPECULATION: dict[str, Any] = {
    "drafts": [{"method": "ngram", "base_acceptance": {"marginals": [0.5, 0.35, 0.25, 0.2, 0.15]}}],
    "draft_lengths": list(LENGTHS),
    "by_batch": True,
}


@pytest.fixture(scope="module")
def asked() -> Question:
    return question(speculation=SPECULATION, search={"ways": ["multi-lora"], "requests": 300})


def drafted(asked: Question, ending: str) -> list[Variant]:
    found = [
        item[0] for item in variants(asked) if not isinstance(item, Option) and item[0].way == "multi-lora"
    ]
    return [one for one in found if one.key.partition("ngram")[2] == ending]


def test_each_batch_has_the_length_that_yields_most(asked: Question) -> None:
    (variant,) = drafted(asked, "-by-batchx5")
    assert variant.drafting is not None
    schedule = variant.drafting.schedule
    starts, lengths = zip(*schedule, strict=True)
    assert starts[0] == 1
    assert list(lengths) == sorted(lengths, reverse=True), "larger batches never want longer drafts"
    assert len(set(lengths)) == len(lengths) > 1
    of = SpecSetup(5, variant.drafting.base, variant.drafting.adapter, schedule=schedule)
    batches = [2**k for k in range(8)]
    active = active_adapters(asked, variant, batches)
    tokens = {n: 1.0 + sum(variant.drafting.adapter.marginals[:n]) for n in (0, *LENGTHS)}
    steps = {n: steps_s(asked, variant, batches, active, n) for n in (0, *LENGTHS)}
    for i, batch in enumerate(batches):
        rates = {n: tokens[n] / steps[n][i] for n in tokens}
        assert rates[of.length_after(batch)] >= max(rates.values()) / 1.03


def test_drafts_pay_up_to_the_batch_at_which_two_plain_steps_would_do_as_much(asked: Question) -> None:
    (variant,) = drafted(asked, "x5")
    assert variant.drafting is not None
    pays, no_more = pays_up_to(asked, variant)
    assert 0 < pays < no_more == 2 * pays
    active = active_adapters(asked, variant, (pays, no_more))
    tokens = 1.0 + sum(variant.drafting.adapter.marginals[:5])
    plain, verify = (steps_s(asked, variant, (pays, no_more), active, length) for length in (0, 5))
    assert verify[0] < tokens * plain[0]
    assert verify[1] >= tokens * plain[1]
    never = replace(variant, drafting=replace(variant.drafting, adapter=Acceptance(marginals=(0.0,))))
    assert pays_up_to(asked, never) == (0, 1)
    free = replace(variant, drafting=replace(variant.drafting, adapter=Acceptance(marginals=(1.0,) * 5)))
    assert pays_up_to(asked, free)[1] == 0


def test_drafts_that_are_never_accepted_are_never_made(asked: Question) -> None:
    (variant,) = drafted(asked, "-by-batchx5")
    assert variant.drafting is not None
    none = Acceptance(marginals=(0.0,))
    useless = replace(variant, drafting=replace(variant.drafting, base=none, adapter=none))
    assert schedule_of(asked, useless, LENGTHS) == ((1, 0),)


def test_one_length_for_every_batch_is_no_variant_of_its_own() -> None:
    sure = SPECULATION | {"drafts": [{"method": "ngram", "base_acceptance": {"marginals": [0.0]}}]}
    assert not drafted(question(speculation=sure), "-by-batchx5")


def test_an_engine_without_schedules_gets_none(asked: Question) -> None:
    assert not drafted(replace(asked, engine=engine("sglang", None)), "-by-batchx5")


def test_an_engine_that_stops_drafting_by_itself_is_simulated_so(asked: Question) -> None:
    (variant,) = drafted(replace(asked, engine=engine("lorax", None)), "x3")
    assert variant.drafting is not None
    assert variant.drafting.schedule == ((1, 3), (33, 0))


def test_the_answer_carries_the_schedule_and_says_it(asked: Question) -> None:
    found = search(asked)
    option = next(e.option for e in found.entries if e.option.key.endswith("ngram-by-batchx5"))
    assert option.speculation is not None
    assert len(option.speculation.schedule) > 1
    assert option.outcome is not None
    fixed = next(e.option for e in found.entries if e.option.key.endswith("ngramx5"))
    assert fixed.outcome is not None
    assert fixed.outcome.acceptance_length is not None
    assert option.outcome.acceptance_length is not None
    assert 1.0 < option.outcome.acceptance_length <= fixed.outcome.acceptance_length


def test_a_choice_may_draft_by_batch_and_is_told_where_that_means_nothing() -> None:
    asked = scenario(speculation=SPECULATION)
    choice = Choice(
        way="multi-lora", device="TEST-80", replicas=2, draft="ngram", draft_length=5, by_batch=True
    )
    option = advisor.simulate(asked, choice, [profile()]).option
    assert option.speculation is not None
    assert {length for _, length in option.speculation.schedule} == {0, 5}
    never = SPECULATION | {"drafts": [{"method": "ngram", "base_acceptance": {"marginals": [0.0]}}]}
    with pytest.raises(InfeasibleError, match="Leave by_batch out"):
        advisor.simulate(scenario(speculation=never), choice, [profile()])
