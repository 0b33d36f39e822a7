"""The choice decided again: the same where nothing changed, and moved the right way where something did."""

from __future__ import annotations

import pytest

import advisor
from advisor.recommendation import Recommendation
from advisor.spec.objective import Metric
from advisor.spec.scenario import Scenario, scenario_from_text
from advisor.whatif.changes import Changes
from advisor.whatif.study import WhatIf, what_if

SCENARIO = """\
schema_version: 1
name: small
model: Llama-3.1-8B
adapters: {count: 6, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 8 req/s}
  prompt_tokens: {kind: lognormal, median: 400, p95: 1500, maximum: 4000}
  output_tokens: {kind: lognormal, median: 100, p95: 300, maximum: 800}
  duration: 3min
objective: {slos: [{metric: ttft, percentile: 95, limit: 500ms}, {metric: tpot, percentile: 95, limit: 50ms}]}
devices: [L40S, H100-80-SXM]
search: {requests: 300, ways: [base, multi-lora, merged]}
"""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return scenario_from_text(SCENARIO, "scenario")


@pytest.fixture(scope="module")
def rec(scenario: Scenario) -> Recommendation:
    return advisor.recommend(scenario, jobs=1)


@pytest.fixture(scope="module")
def ready(rec: Recommendation, scenario: Scenario) -> WhatIf:
    return what_if(rec, scenario)


def test_without_a_change_the_answer_comes_out(ready: WhatIf, rec: Recommendation) -> None:
    verdict = ready.ask(Changes())
    assert verdict.best is not None
    assert verdict.best.key == rec.recommended
    for option in verdict.options:
        before = rec.option(option.key)
        assert option.feasible == before.feasible
        if option.feasible:
            assert (option.replicas, option.limits) == (before.replicas, before.limits)
            assert option.usd_per_hour == before.usd_per_hour


def test_different_kinds_are_compared_the_recommended_first(ready: WhatIf, rec: Recommendation) -> None:
    kept = [kept.option for kept in ready.again.kept]
    assert kept[0].key == rec.recommended
    assert len({(option.way, option.device) for option in kept}) > 1
    assert not any(option.is_reference for option in kept)


@pytest.mark.parametrize(
    "changes", [Changes(load=6.0), Changes(limits_s={Metric.TPOT: 0.016}), Changes(rank=256)]
)
def test_what_is_harder_is_never_cheaper(ready: WhatIf, changes: Changes) -> None:
    now, then = ready.ask(Changes()).best, ready.ask(changes).best
    assert now is not None
    assert now.usd_per_hour is not None
    assert then is None or (then.usd_per_hour or 0) >= now.usd_per_hour


def test_more_load_takes_more_replicas_of_the_same_requests(ready: WhatIf) -> None:
    verdict = ready.ask(Changes(load=8.0))
    now = ready.ask(Changes())
    assert verdict.workload.requests == now.workload.requests
    assert verdict.workload.rate_rps == pytest.approx(8 * now.workload.rate_rps)
    assert verdict.best is not None
    assert now.best is not None
    assert verdict.best.replicas > now.best.replicas


def test_a_price_turns_the_choice(ready: WhatIf) -> None:
    now = ready.ask(Changes()).best
    assert now is not None
    dear = ready.ask(Changes(usd_per_device_hour={now.device: 50.0})).best
    assert dear is not None
    assert dear.device != now.device


def test_slots_follow_the_adapters_where_they_held_all(ready: WhatIf) -> None:
    for option in ready.ask(Changes(adapters=20)).options:
        if option.way == "multi-lora" and option.limits is not None:
            before = next(k.option for k in ready.again.kept if k.option.key == option.key)
            assert before.limits is not None
            assert option.limits.max_loras == (
                20 if before.limits.max_loras >= 6 else before.limits.max_loras
            )


def test_what_no_number_of_replicas_meets_is_said(ready: WhatIf) -> None:
    verdict = ready.ask(Changes(limits_s={Metric.TTFT: 1e-4}))
    assert verdict.best is None
    assert all("idle replica" in option.reason for option in verdict.options)


def test_processes_do_not_change_the_verdict(ready: WhatIf) -> None:
    assert ready.ask(Changes(load=2.0), jobs=2) == ready.ask(Changes(load=2.0), jobs=1)
