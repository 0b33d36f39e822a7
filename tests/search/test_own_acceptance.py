"""Acceptance that was measured for single adapters reaches their requests, merged and unmerged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from advisor.deployment import Variant
from advisor.errors import InputError
from advisor.recommendation import Option
from advisor.robustness.scaled import scaled
from advisor.search.candidates import variants
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.search.trial import Plan, PoolTraffic, Runner, traffic_for
from advisor.sim.result import SimResult
from tests.questions import question

GOOD, POOR = "adapter-01", "adapter-02"


def asked(**own: list[float]) -> Question:
    draft: dict[str, Any] = {
        "method": "ngram",
        "adapter_acceptance": {"marginals": [0.5, 0.25, 0.12]},
        "acceptance_by_adapter": {name.replace("_", "-"): {"marginals": own[name]} for name in own},
    }
    return question(speculation={"drafts": [draft]}, search={"requests": 300})


@pytest.fixture(scope="module")
def measured() -> Question:
    return asked(adapter_01=[0.95, 0.9, 0.85], adapter_02=[0.02])


def drafted(of: Question, way: str) -> Variant:
    found = (item[0] for item in variants(of) if not isinstance(item, Option))
    return next(one for one in found if one.way == way and one.drafting is not None)


def tokens_a_step(of: Question, way: str) -> dict[str, float]:
    """Mean tokens of a decode step by adapter, as simulated."""
    variant = drafted(of, way)
    runner = Runner(of.scenario.objective, of.ranks, of.scenario.seed)
    found: dict[str, float] = {}
    for pool in traffic_for(variant, of.trial, of.adapters.names):
        if not len(pool.trace):
            continue
        entry = next(e for e in search(of).entries if e.option.key == variant.key)
        assert entry.sized is not None
        result = run(runner, entry.sized.plan, pool)
        names = pool.trace.adapters or pool.adapters
        for index, name in enumerate(names):
            mine = result.adapter == (index if pool.trace.adapters else -1)
            steps = int(result.verify_steps[mine].sum())
            if steps:
                found[name] = float((result.output_tokens[mine] - 1).sum()) / steps
    return found


def run(runner: Runner, plan: Plan, pool: PoolTraffic) -> SimResult:
    setup = runner.replica(plan.variant, plan.limits_of(pool), merged=pool.merged)
    return runner.fleet(setup, pool.trace, 1, "round-robin")


@pytest.mark.parametrize("way", ["multi-lora", "merged"])
def test_each_adapter_has_what_was_measured_for_it(measured: Question, way: str) -> None:
    tokens = tokens_a_step(measured, way)
    assert tokens[GOOD] > 3.0
    assert tokens[POOR] < 1.1
    assert 1.6 < np.mean([tokens[name] for name in tokens if name not in (GOOD, POOR)]) < 2.1


def test_the_answer_shows_the_mean_by_share(measured: Question) -> None:
    drafting = drafted(measured, "multi-lora").drafting
    assert drafting is not None
    shares = {one.adapter: one.share for one in drafting.own}
    assert set(shares) == {GOOD, POOR}
    rest = 1.0 - sum(shares.values())
    expected = 1.0 + shares[GOOD] * 2.7 + shares[POOR] * 0.02 + rest * 0.87
    assert drafting.mean_adapter.tokens_per_step(3) == pytest.approx(expected)


def test_a_doubt_about_acceptance_scales_every_one(measured: Question) -> None:
    variant = drafted(measured, "multi-lora")
    assert variant.drafting is not None
    less = scaled(variant, {f"acceptance:{variant.drafting.name}": 0.5}).drafting
    assert less is not None
    before = {one.adapter: one.acceptance.marginals for one in variant.drafting.own}
    for one in less.own:
        assert one.acceptance.marginals == pytest.approx([0.5 * m for m in before[one.adapter]])


def test_an_adapter_that_is_not_deployed_is_named() -> None:
    with pytest.raises(InputError, match=r"acceptance_by_adapter names 'elsewhere'; allowed: the adapters"):
        list(variants(asked(elsewhere=[0.5])))
