"""The fewest replicas that hold, for any monotone deployment."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from advisor.search.sizing import fewest_replicas


@dataclass(frozen=True)
class FakeTrial:
    holds: bool
    strain: float


@given(need=st.integers(1, 80), guess=st.integers(1, 100))
def test_finds_the_fewest_from_any_guess(need: int, guess: int) -> None:
    calls: list[int] = []

    def run(count: int) -> FakeTrial:
        calls.append(count)
        return FakeTrial(count >= need, need / count)

    sized = fewest_replicas(run, guess, 100)  # type: ignore[arg-type]
    assert (sized.replicas, sized.holds) == (need, True)
    assert len(set(calls)) <= 20


def test_stops_when_more_replicas_do_not_help() -> None:
    sized = fewest_replicas(lambda _: FakeTrial(False, 1.5), 2, 1000)  # type: ignore[arg-type,return-value]
    assert sized.stagnant
    assert sized.replicas < 10


def test_gives_up_at_the_most_allowed() -> None:
    sized = fewest_replicas(lambda n: FakeTrial(False, 100 / n), 1, 16)  # type: ignore[arg-type,return-value]
    assert (sized.replicas, sized.holds, sized.stagnant) == (16, False, False)
