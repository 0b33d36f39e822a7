"""Fleets that scale: the rule by hand, lives and bills by hand, and what holds of every one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from advisor.errors import InputError
from advisor.sim.fleet import Engine, simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.scaling import Wanted
from advisor.sim.setup import Failure, FleetSetup, Scaling
from tests.sim.agreement import COLUMNS, TOTALS
from tests.sim.scenarios import Scenario, scenarios
from tests.sim.test_fleet import fleet, trace

ENGINES: tuple[Engine, ...] = ("plain", "skipping")
QUEUE, START_UP = CAUSES.index("queue"), CAUSES.index("start_up")


def scaled(most: int, **rule: float) -> FleetSetup:
    """A step lasts a second, whatever is in it; one request a replica is right."""
    given_ = {"target": 1.0, "start_up_s": 4.0, "interval_s": 10.0, "window_s": 20.0, **rule}
    return replace(fleet(), replicas=most, scaling=Scaling(**given_))  # type: ignore[arg-type]  # min is an int


def times(result: SimResult) -> list[tuple[float, ...]]:
    return [(life.replica, life.begin_s, life.ready_s, life.drain_s, life.off_s) for life in result.lives]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fleet_of_none_is_woken_by_the_request_that_waits_for_it(engine: Engine) -> None:
    requests = trace((3.0, 4, 2, -1), (5.0, 4, 1, -1), (100.0, 4, 1, -1))
    result = simulate_fleet(scaled(1, min_replicas=0), requests, engine=engine)
    np.testing.assert_allclose(result.ttft_s, [4.0 + 1.0, 2.0 + 1.0, 4.0 + 1.0])
    np.testing.assert_allclose(result.ttft_causes_s[:, START_UP], [4.0, 2.0, 4.0])
    np.testing.assert_allclose(result.ttft_causes_s[:, QUEUE], 0.0)
    # done at 9; nothing is wanted at 10, 20 and 30, but until 23 the one wanted at 3 is in the window
    assert times(result) == [(0, 3.0, 7.0, 30.0, 30.0), (0, 100.0, 104.0, math.inf, 105.0)]
    assert (result.paid_s, result.starts) == (27.0 + 5.0, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_goes_takes_no_requests_and_finishes_its_own(engine: Engine) -> None:
    requests = trace((0.0, 4, 30, -1), (1.0, 4, 40, -1), (35.0, 4, 1, -1))
    result = simulate_fleet(scaled(2, min_replicas=2, window_s=0.0, tolerance=0.0), requests, engine=engine)
    assert result.lives[1].drain_s == math.inf  # never below the least number
    result = simulate_fleet(scaled(2, min_replicas=1, window_s=0.0), requests, engine=engine)
    # the check at 10 finds two requests on one replica; the second is ready at 14 and gets nobody until the
    # check at 40 finds one request and sends it home
    assert [life[:3] for life in times(result)] == [(0, 0.0, 0.0), (1, 10.0, 14.0)]
    assert result.replica.tolist() == [0, 0, 1]
    assert (result.lives[1].drain_s, result.lives[1].off_s) == (40.0, 40.0)
    assert result.lives[0].off_s == result.end_s == 41.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_draining_replica_is_paid_until_its_last_token_and_starts_cold_again(engine: Engine) -> None:
    requests = trace(
        (0.0, 4, 5, 0), (0.5, 4, 5, 0), (6.0, 4, 20, 0), (11.0, 4, 14, 1), (30.0, 4, 9, 0), (31.0, 4, 9, 0)
    )
    setup = scaled(2, min_replicas=1, window_s=0.0, interval_s=5.0, tolerance=0.0, start_up_s=1.0)
    result = simulate_fleet(setup, requests, engine=engine)
    for life in result.lives:
        mine = (result.replica == life.replica) & (result.last_token_s > life.ready_s)
        mine &= result.arrival_s < life.drain_s
        if life.drain_s < math.inf and mine.any():
            assert life.off_s == max(life.drain_s, result.last_token_s[mine].max())
    later = [life for life in result.lives if life.replica == 1]
    assert len(later) > 1, times(result)
    assert result.loads_from_disk > 2  # adapters 0 and 1 once, and again where a replica began anew


def test_the_rule_is_that_of_the_autoscaler_it_stands_for() -> None:
    rule = Wanted(Scaling(target=10.0, start_up_s=0.0, min_replicas=1, window_s=60.0), most=8)
    assert rule.count(0.0, 21, 2) == 2  # 1.05 of what is right: within the tolerance
    assert rule.count(15.0, 23, 2) == 3  # ceil(2.3), at once
    assert rule.count(30.0, 500, 3) == 8  # not above the most
    assert rule.count(45.0, 5, 8) == 8  # eight were wanted fifteen seconds ago
    assert rule.count(90.0, 5, 8) == 8  # sixty seconds ago
    assert rule.count(91.0, 31, 8) == 4  # nothing above four within the window
    assert rule.count(200.0, 0, 4) == 1  # not below the least


@settings(max_examples=150)
@given(scenarios())
def test_what_holds_of_every_fleet_that_scales(scenario: Scenario) -> None:
    setup = scenario.fleet
    if setup.scaling is None:
        return
    result = simulate_fleet(setup, scenario.trace, seed=scenario.seed)
    least, most = setup.scaling.min_replicas, setup.replicas
    moments = sorted({life.begin_s for life in result.lives} | {life.off_s for life in result.lives})
    for begin_s, end_s in pairwise(moments):
        middle_s = (begin_s + end_s) / 2
        paid = [life for life in result.lives if life.begin_s <= middle_s < life.off_s]
        assert len({life.replica for life in paid}) == len(paid) <= most
        assert sum(life.drain_s > middle_s for life in paid) >= least
    for life in result.lives:
        assert life.begin_s <= min(life.ready_s, life.drain_s) <= max(life.ready_s, life.off_s)
        if life.ready_s < math.inf and not life.warm:
            np.testing.assert_allclose(life.ready_s - life.begin_s, setup.scaling.start_up_s, atol=1e-9)
    assert least * result.end_s <= result.paid_s + 1e-9
    assert result.paid_s <= most * result.end_s + 1e-9
    assert sum(life.warm for life in result.lives) == least
    waits = result.ttft_causes_s[:, START_UP]
    assert np.nanmax(waits, initial=0.0) <= setup.scaling.start_up_s + setup.scaling.interval_s + 1e-9
    if least:
        assert not np.nansum(waits)


@settings(max_examples=60)
@given(scenarios())
def test_a_fleet_that_may_not_change_is_the_fixed_one(scenario: Scenario) -> None:
    fixed = replace(scenario.fleet, scaling=None, failures=(), start_s=())
    still = Scaling(2.0, 1.0, fixed.replicas, interval_s=max(scenario.trace.duration_s / 7, 0.01))
    one, two = (
        simulate_fleet(setup, scenario.trace, seed=scenario.seed)
        for setup in (fixed, replace(fixed, scaling=still))
    )
    for name in COLUMNS:
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    for name in TOTALS:  # sums over replicas, in another order
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(two.paid_s, fixed.replicas * two.end_s)


@pytest.mark.parametrize("start_up_s", [0.0, 3.0, 50.0])
def test_no_start_up_makes_a_request_of_a_fleet_of_none_earlier(start_up_s: float) -> None:
    requests = trace(*((60.0 * i, 8, 5, -1) for i in range(20)))
    quick, slow = (
        simulate_fleet(scaled(2, min_replicas=0, start_up_s=seconds), requests)
        for seconds in (start_up_s, start_up_s + 5.0)
    )
    assert np.all(slow.ttft_s >= quick.ttft_s)
    assert slow.paid_s > quick.paid_s


def test_what_cannot_be_is_refused_in_one_go() -> None:
    broken = replace(
        fleet(),
        scaling=Scaling(0.0, -1.0, 2, interval_s=0.0, window_s=math.nan, tolerance=1.0),
        failures=(Failure(0, 1.0, 1.0),),
    )
    with pytest.raises(InputError) as error:
        simulate_fleet(broken, trace((0, 4, 1, -1)))
    assert len(error.value.sentences) == 7
    assert "scaling.min_replicas is 2; allowed: 0 to the 1 replicas" in str(error.value)
