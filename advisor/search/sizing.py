"""How many replicas a pool needs: the fewest with which the objective holds, found by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from advisor.search.trial import Trial

_STAGNANT = 0.03
"""More replicas that lower the strain by less than this share will not meet the limit either."""


@dataclass(frozen=True, slots=True)
class Sized:
    """The fewest replicas that hold, or the last ones tried."""

    replicas: int
    trial: Trial
    stagnant: bool = False  # more replicas do not help: the limit is below what one request alone takes

    @property
    def holds(self) -> bool:
        """Whether the objective holds."""
        return self.trial.holds


def fewest_replicas(run: Callable[[int], Trial], guess: int, most: int) -> Sized:
    """Search from a guess; assumes that more replicas never hurt.

    Down one by one (halving while far above) until it fails, or up by half until it holds, then
    bisect. `run` must remember what it ran.
    """
    guess = min(max(guess, 1), most)
    trial = run(guess)
    if trial.holds:
        return _down(run, guess)
    return _up(run, guess, trial, most)


def _down(run: Callable[[int], Trial], holds: int) -> Sized:
    fails, step = 0, 1
    while holds - fails > 1:
        candidate = max(fails + 1, holds - step) if not fails else (fails + holds) // 2
        if run(candidate).holds:
            holds, step = candidate, step * 2
        else:
            fails = candidate
    return Sized(holds, run(holds))


def _up(run: Callable[[int], Trial], fails: int, trial: Trial, most: int) -> Sized:
    strain = trial.strain
    while fails < most:
        candidate = min(most, fails + max(1, (fails + 1) // 2))
        trial = run(candidate)
        if trial.holds:
            return _between(run, fails, candidate)
        if trial.strain > (1 - _STAGNANT) * strain and trial.strain < float("inf"):
            return Sized(candidate, trial, stagnant=True)
        fails, strain = candidate, trial.strain
    return Sized(fails, trial)


def _between(run: Callable[[int], Trial], fails: int, holds: int) -> Sized:
    while holds - fails > 1:
        middle = (fails + holds) // 2
        if run(middle).holds:
            holds = middle
        else:
            fails = middle
    return Sized(holds, run(holds))
