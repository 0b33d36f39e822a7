"""The search as a whole: what is feasible, what is cheapest, what is refused and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.profile import LoraTerm
from advisor.search.candidates import draft_names, variants
from advisor.search.found import Found
from advisor.search.knobs import slot_choices, start_limits, with_slots
from advisor.search.pools import Screened, Sizer
from advisor.search.question import Question
from advisor.search.ranking import _Done, search
from advisor.search.trial import Plan, Runner, as_base, traffic_of
from advisor.search.work import Work, size
from advisor.spec.spec import Origin
from advisor.spec.speculation import Draft
from advisor.trace.scale import faster
from tests.profiles import DEVICE, profile, terms
from tests.questions import question
from tests.search.variants import plain_variant, variant_of

MARK: dict[str, Any] = {"origin": Origin.ESTIMATED, "source": "made up for a test"}


@pytest.fixture(scope="module")
def asked() -> Question:
    """The small question."""
    return question(speculation={"drafts": [{"method": "ngram"}]})


@pytest.fixture(scope="module")
def found(asked: Question) -> Found:
    """Its answer."""
    return search(asked)


def test_every_way_is_ranked_feasible_first_by_price(found: Found) -> None:
    options = [entry.option for entry in found.entries]
    assert {(o.way, o.speculation is not None) for o in options} == {
        (way, drafts) for way in ("base", "multi-lora", "merged", "hybrid") for drafts in (False, True)
    }
    feasible = [o for o in options if o.feasible]
    assert options[: len(feasible)] == feasible
    prices = [o.usd_per_hour for o in feasible]
    assert prices == sorted(prices)  # type: ignore[type-var]  # feasible options have a price
    assert all(o.reason and o.bound for o in options if not o.feasible)


def test_the_base_model_is_a_reference_and_never_recommended(found: Found) -> None:
    assert found.best is not None
    assert found.best.option.way != "base"
    assert all(e.option.is_reference == (e.option.way == "base") for e in found.entries)


def test_merged_keeps_a_deployment_for_every_adapter(found: Found, asked: Question) -> None:
    merged = next(e.option for e in found.entries if e.option.way == "merged")
    assert merged.replicas >= len(asked.adapters)
    assert sum(pool.replicas for pool in merged.pools) == merged.replicas
    assert sum(pool.share_of_requests for pool in merged.pools) == pytest.approx(1.0)


def test_one_replica_less_breaks_the_objective(asked: Question, found: Found) -> None:
    for entry in found.entries:
        if entry.sized is None or entry.option.way != "multi-lora" or entry.option.replicas < 2:
            continue
        plan = entry.sized.plan
        runner = Runner(asked.scenario.objective, asked.ranks, asked.scenario.seed)
        less = runner.run(
            plan.with_replicas(plan.replicas[0] - 1),
            traffic_of("multi-lora", asked.trial, asked.adapters.names),
            asked.trial.duration_s,
        )
        assert not less.holds


def test_results_are_remembered_for_their_own_traffic_alone(asked: Question) -> None:
    """Traffic that is gone gives its identity to the next one, which must not find its results."""
    variant = plain_variant(asked)
    runner = Runner(asked.scenario.objective, asked.ranks, asked.scenario.seed)
    plan = Plan(variant, start_limits(asked, variant), (1,))
    seen = []
    for by in (0.5, 4.0, 50.0, 400.0):
        traffic = traffic_of("base", faster(asked.trial, by), asked.adapters.names)
        seen.append(runner.run(plan, traffic, asked.trial.duration_s / by).outcome.ttft.p99_s)
        del traffic
    assert runner.simulations == len(seen)
    assert seen == sorted(seen)
    assert seen[-1] > 2 * seen[0]


def test_a_first_look_with_too_few_slots_does_not_make_an_option_dear() -> None:
    """Algebra knows mean numbers of adapters: with the slots it asks for, three replicas would be needed.

    Beside a cheap rival the knobs of a dear option are not searched, so that its first look is what is shown.
    """
    slow, fast = (LoraTerm(**MARK, fixed_s=1e-3, per_adapter_s=seconds) for seconds in (1e-3, 1e-5))
    dear = DEVICE.model_copy(update={"name": "FAST-80"})
    asked = question(
        profile(terms(lora=slow)),
        profile(terms(lora=fast), device=dear, name="fast_80-vllm"),
        search={"requests": 300, "ways": ["multi-lora"]},
    )
    first, second = asked.offers
    assert second.price is not None
    price = second.price.model_copy(update={"usd_per_hour": 1.3 * second.price.usd_per_hour})
    asked = replace(asked, offers=(first, replace(second, price=price)))
    options = [entry.option for entry in search(asked).entries]
    assert [(one.device, one.replicas) for one in options] == [("TEST-80", 1), ("FAST-80", 1)]


def test_the_inner_optimum_of_the_slots_is_found(asked: Question) -> None:
    """No number of slots on the ladder does with fewer replicas, or strains the limits less with as many."""
    variant = variant_of(asked, "multi-lora")
    runner = Runner(asked.scenario.objective, asked.ranks, asked.scenario.seed)
    sizer = Sizer(asked, runner, asked.trial.duration_s)
    (traffic,) = traffic_of("multi-lora", asked.trial, asked.adapters.names)
    best = sizer.multi_lora(variant, traffic)
    plain = start_limits(asked, variant)
    brute = [
        sizer.one_pool(variant, with_slots(asked, variant, plain, slots), traffic)
        for slots in slot_choices(asked, variant)
    ]
    holding = [sized for sized in brute if sized.trial.holds]
    assert best.plan.replicas == min(sized.plan.replicas for sized in holding)
    rivals = [sized.trial.strain for sized in holding if sized.plan.replicas == best.plan.replicas]
    assert best.trial.strain <= min(rivals) * 1.05


def test_merged_weights_run_as_the_base_does_to_the_last_bit(asked: Question) -> None:
    runner = Runner(asked.scenario.objective, asked.ranks, 0)
    base, merged = plain_variant(asked), variant_of(asked, "merged")
    limits = start_limits(asked, base)
    trace = as_base(asked.trial)
    one = runner.fleet(runner.replica(base, limits, merged=None), trace, 1, "round-robin")
    two = runner.fleet(runner.replica(merged, limits, merged=""), trace, 1, "round-robin")
    np.testing.assert_array_equal(one.last_token_s, two.last_token_s)


def test_a_device_that_is_too_small_is_refused_for_its_memory() -> None:
    small = profile(device=DEVICE.model_copy(update={"name": "TINY-16", "memory_bytes": 16e9}), name="tiny")
    entries = search(question(small)).entries
    assert {e.option.bound for e in entries} == {"memory"}
    assert "GiB" in entries[0].option.reason


def test_a_limit_that_one_request_alone_breaks_is_said_to_be_so() -> None:
    objective = {"slos": [{"metric": "tpot", "limit": "1ms"}]}
    found = search(question(objective=objective, search={"requests": 100}))
    assert found.best is None
    assert all("alone on an idle replica" in e.option.reason for e in found.entries)


def test_a_budget_bounds_the_answer() -> None:
    found = search(question(objective={"preset": "server", "budget": "0.5 USD/h"}, search={"requests": 100}))
    assert found.best is None
    assert {e.option.bound for e in found.entries} == {"budget"}


def test_the_plan_counts_devices_over_pools_and_degree(asked: Question) -> None:
    variant = plain_variant(asked)
    assert Plan(variant, start_limits(asked, variant), (2, 3)).devices == 5


def test_a_first_look_that_failed_does_not_fix_the_number_of_replicas(asked: Question) -> None:
    """What does not hold on the short stretch may hold on the trial, and with fewer replicas."""
    variant = variant_of(asked, "multi-lora")
    limits = with_slots(asked, variant, start_limits(asked, variant), 12)
    rosy = Screened(Plan(variant, limits, (7,)), False, False, 1)
    sized, _ = size(asked, Work(variant, asked.offers[0], rosy), float("inf"))
    (traffic,) = traffic_of("multi-lora", asked.trial, asked.adapters.names)
    runner = Runner(asked.scenario.objective, asked.ranks, asked.scenario.seed)
    fewest = Sizer(asked, runner, asked.trial.duration_s).one_pool(variant, limits, traffic)
    assert sized.trial.holds
    assert sized.plan.replicas <= fewest.plan.replicas < (7,)


@pytest.mark.parametrize(
    ("changes", "then", "now", "misled"),
    [
        ({"feasible": True, "usd_per_hour": 16.0}, 4.0, 12.0, True),  # far from a best that did not last
        ({"feasible": True, "usd_per_hour": 16.0}, 4.0, 5.0, False),  # far from both
        ({"feasible": True, "usd_per_hour": 16.0}, 12.0, 12.0, False),  # searched in full at once
        ({"feasible": False, "bound": "replicas"}, 4.0, 12.0, True),  # stopped where it was too dear
        ({"feasible": False, "bound": "replicas"}, 4.0, 4.0, False),
        ({"feasible": False, "bound": "slo", "usd_per_hour": 16.0}, 4.0, 12.0, False),
    ],
)
def test_what_was_cut_short_for_a_price_that_did_not_last_is_sized_again(
    found: Found, changes: dict[str, Any], then: float, now: float, misled: bool
) -> None:
    entry = found.best
    assert entry
    option = entry.option.model_copy(update=changes)
    work = Work(entry.sized.plan.variant, entry.offer, None)  # type: ignore[arg-type, union-attr]
    assert _Done(work, replace(entry, option=option), then, 1, 1).misled_by(now) == misled


def test_the_answer_does_not_depend_on_the_processes(asked: Question, found: Found) -> None:
    assert [e.option for e in search(asked, jobs=2).entries] == [e.option for e in found.entries]


def test_drafts_of_one_method_have_keys_of_their_own() -> None:
    drafts: tuple[dict[str, Any], ...] = ({}, {"custom": True}, {"adapter_shift": "light"}, {"custom": True})
    named = draft_names([Draft(method="ngram", **more) for more in drafts])
    assert named == ("ngram", "ngram-custom", "ngram#2", "ngram-custom#2")
    given = [{"method": "ngram"}, {"method": "ngram", "custom": True}]
    keys = [
        item[0].key if isinstance(item, tuple) else item.key
        for item in variants(question(speculation={"drafts": given, "draft_lengths": [1, 3]}))
    ]
    assert len(set(keys)) == len(keys)
