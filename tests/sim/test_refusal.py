"""A full house: requests that come while `max_outstanding` others are unfinished are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.sim.fleet import Engine, simulate_fleet
from advisor.trace.trace import Trace
from tests.sim.test_fleet import ENGINES, fleet, trace


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: Engine) -> None:
    """Steps of a second: the first request is inside from 0 to 2 and keeps three others out."""
    house = replace(fleet(), max_outstanding=1)
    requests = trace((0, 4, 2, -1), (0.5, 4, 1, -1), (0.7, 4, 1, -1), (1.9, 4, 1, -1), (2.5, 4, 1, -1))
    result = simulate_fleet(house, requests, engine=engine)
    np.testing.assert_allclose(result.last_token_s, [2.0, np.nan, np.nan, np.nan, 3.5])
    assert result.replica.tolist() == [0, -1, -1, -1, 0]
    assert result.notes == ("3 requests were refused while 1 others were unfinished.",)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_never_more_inside_and_nobody_refused_without_cause(most: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrival_s = np.cumsum(random.exponential(0.8, 60))
    prompts, answers, adapters = (random.integers(*bounds, 60) for bounds in ((1, 30), (1, 8), (-1, 4)))
    requests = Trace(arrival_s, prompts, answers, adapters, tuple("abcd"))
    house = replace(fleet(), max_outstanding=most)
    plain, skipping = (simulate_fleet(house, requests, engine=engine) for engine in ENGINES)
    np.testing.assert_allclose(plain.last_token_s, skipping.last_token_s, rtol=1e-9)
    accepted = plain.replica >= 0
    for row in range(60):
        earlier = accepted[:row]
        inside = int((earlier & (plain.last_token_s[:row] > arrival_s[row])).sum())
        assert inside == most if not accepted[row] else inside < most


def test_a_house_without_room_is_refused() -> None:
    with pytest.raises(InputError, match=r"max_outstanding is 0; allowed: at least 1"):
        simulate_fleet(replace(fleet(), max_outstanding=0), trace((0, 4, 1, -1)))
