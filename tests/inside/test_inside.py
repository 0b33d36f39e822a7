"""Inside a deployment: the answer's own run again, states thinned with their peaks, phases that add up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import advisor
from advisor.errors import InputError
from advisor.inside.phases import phases_of
from advisor.inside.run import Inside, look_inside
from advisor.inside.states import states_of
from advisor.recommendation import Option, Recommendation
from advisor.spec.scenario import Scenario, scenario_from_text
from tests.whatif.test_again import SCENARIO


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return scenario_from_text(SCENARIO, "scenario")


@pytest.fixture(scope="module")
def rec(scenario: Scenario) -> Recommendation:
    return advisor.recommend(scenario, jobs=1)


@pytest.fixture(scope="module")
def option(rec: Recommendation) -> Option:
    assert rec.recommended is not None
    return rec.option(rec.recommended)


@pytest.fixture(scope="module")
def inside(scenario: Scenario, option: Option) -> Inside:
    return look_inside(scenario, option)


def test_it_is_the_run_that_the_answers_reasons_are_from(inside: Inside, rec: Recommendation) -> None:
    assert rec.explanation is not None
    for result, told in ((inside.result, rec.explanation.deployment), (inside.base, rec.explanation.base)):
        assert float(np.mean(result.ttft_s[inside.counts])) == pytest.approx(told.ttft.mean_s, rel=1e-9)
        assert float(np.mean(result.tpot_s[inside.counts])) == pytest.approx(told.tpot.mean_s, rel=1e-9)


def test_peaks_survive_however_few_the_parts(inside: Inside) -> None:
    series = inside.result.series[0]
    for parts in (1, 7, 240):
        states = states_of(inside, parts=parts)
        assert states.high["running"].max() == series.running.max()
        assert states.high["waiting"].max() == series.waiting.max()
        assert states.high["kv_share"].max() == series.kv_blocks_used.max() / inside.setup.kv_blocks
        for name, mean in states.mean.items():
            assert (states.low[name] <= mean + 1e-9).all()
            assert (mean <= states.high[name] + 1e-9).all()


def test_the_mean_over_time_is_the_time_that_requests_ran(inside: Inside) -> None:
    result = inside.result
    states = states_of(inside, parts=50)
    of_states = float(np.sum(states.mean["running"] * np.diff(states.edges_s)))
    frontend = inside.setup.frontend_s + inside.setup.frontend_per_prompt_token_s * result.prompt_tokens
    preempted = result.preemptions.sum()
    assert not preempted  # else a request would not run from its first step to its last
    ran = float(np.sum((result.last_token_s - frontend) - result.scheduled_s))
    assert of_states == pytest.approx(ran, rel=1e-6)


def test_a_closer_look_shows_what_lies_in_the_stretch(inside: Inside) -> None:
    series = inside.result.series[0]
    near = states_of(inside, from_s=10.0, to_s=20.0, parts=100)
    within = (series.time_s >= 10.0) & (series.time_s <= 20.0)
    before = series.running[np.searchsorted(series.time_s, 10.0, side="right") - 1]
    assert near.high["running"].max() == max(series.running[within].max(), before)


def test_phases_of_a_request_follow_each_other_from_arrival_to_last_token(inside: Inside) -> None:
    result = inside.result
    phases = phases_of(inside, most=10_000)
    assert phases.shown == phases.requests == len(inside.trace)
    by_request: dict[int, list[tuple[float, float]]] = {}
    for bar in phases.bars:
        by_request.setdefault(bar.request, []).append((bar.from_s, bar.to_s))
    for request, bars in by_request.items():
        assert bars[0][0] == result.arrival_s[request]
        assert bars[-1][1] == result.last_token_s[request]
        assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(bars))


def test_of_too_many_requests_the_slowest_are_shown(inside: Inside) -> None:
    phases = phases_of(inside, most=20)
    assert phases.shown == 20
    assert phases.requests == len(inside.trace)
    assert int(np.argmax(inside.result.ttft_s)) in {bar.request for bar in phases.bars}


def test_a_merged_options_pool_is_looked_at_by_name(scenario: Scenario, rec: Recommendation) -> None:
    merged = next(o for o in rec.options if o.way == "merged" and o.pools)
    found = look_inside(scenario, merged, pool=merged.pools[0].name)
    assert found.pool == merged.pools[0].name
    assert found.setup.limits.max_loras == 0
    with pytest.raises(InputError, match="pool is 'nobody'; allowed"):
        look_inside(scenario, merged, pool="nobody")


def test_what_was_not_simulated_and_what_is_not_there_is_a_sentence(
    scenario: Scenario, option: Option, inside: Inside
) -> None:
    with pytest.raises(InputError, match="was not simulated"):
        look_inside(scenario, option.model_copy(update={"pools": ()}))
    with pytest.raises(InputError, match="replica is 9; allowed: 0"):
        states_of(inside, replica=9)
    with pytest.raises(InputError, match="an end after its beginning"):
        states_of(inside, from_s=5.0, to_s=5.0)
