"""Futures that several simulations share are those that each would draw for itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.sim.draws import Draws
from advisor.sim.setup import SpecSetup
from advisor.sim.verify import Verify, verify_of
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import Trace

COUNT = 1_500


def trace(shift_tokens: int = 0) -> Trace:
    rng = np.random.default_rng(3)
    return Trace(
        np.arange(COUNT, dtype=np.float64),
        rng.integers(1, 500, COUNT) + shift_tokens,
        rng.integers(1, 90, COUNT),
        rng.integers(-1, 2, COUNT),
        ("a", "b"),
    )


def draws(seed: int, marginals: tuple[float, ...] = (0.7, 0.4)) -> Draws:
    return Draws(SpecSetup(2, Acceptance(marginals=marginals), Acceptance(marginals=(0.6, 0.2))), seed)


def test_equal_requests_share_their_futures_and_others_do_not() -> None:
    one = verify_of(trace(), draws(1), 16)
    later = replace(trace(), arrival_s=trace().arrival_s * 2.0)
    assert verify_of(later, draws(1), 16) is one
    for other in (
        verify_of(trace(), draws(2), 16),
        verify_of(trace(), draws(1), 4),
        verify_of(trace(), draws(1, (0.8, 0.4)), 16),
        verify_of(trace(7), draws(1), 16),
        verify_of(replace(trace(), adapter=np.zeros(COUNT, dtype=np.int64)), draws(1), 16),
    ):
        assert other is not one


def test_futures_are_the_same_however_often_they_are_asked_for() -> None:
    shared = verify_of(trace(), draws(5), 16)
    alone = Verify(trace(), draws(5), 16)
    for _ in range(2):
        for request in range(COUNT):
            mine, theirs = shared.fresh(request, 2), alone.fresh(request, 2)
            assert mine.last_blocks == theirs.last_blocks
            np.testing.assert_array_equal(mine.gains, theirs.gains)
