"""How sure an answer is: read `certainty_of` first.

Every draw takes one value of every uncertain term (`robustness.inputs` says how), other requests of the same
kind (`robustness.workload`) and another load. All rivals of a draw see the same requests and random numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from advisor.certainty import Certainty, Share, Spread, Tip
from advisor.robustness.decide import Judge, World, with_extra
from advisor.robustness.inputs import Bounds, Input, spread_evenly
from advisor.robustness.interval import interval
from advisor.robustness.rivals import Rival, rivals_of
from advisor.robustness.tipping import Subject, Tipping, subjects_of, tipping
from advisor.robustness.words import said
from advisor.robustness.workload import resampled
from advisor.search.found import Found
from advisor.search.parallel import run_all
from advisor.search.question import Question
from advisor.search.trial import Trial
from advisor.trace.trace import Trace

Progress = Callable[[float, str], None]

REQUESTS_THEMSELVES = "the requests themselves"
_PER_TASK = 4
_ONLY_REQUESTS = (10, 5)
"""At least so many draws, and one in so many, are made again with the requests alone drawn."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one draw says."""

    best: str | None
    best_usd_per_hour: float
    own_usd_per_hour: float
    holds: bool
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is drawn: the question, the rivals, and the draws of every input."""

    question: Question
    rivals: tuple[Rival, ...]
    load_interval: Bounds
    z: dict[Input, list[float]]

    @property
    def judge(self) -> Judge:
        """A new one, with nothing remembered."""
        return Judge(self.question, self.rivals, self.load_interval)

    def trace(self, draw: int) -> Trace:
        """Other requests of the same kind, at the rate of the whole traffic."""
        rng = np.random.default_rng([self.question.scenario.seed, 1, draw])
        whole = self.question.whole
        return resampled(whole, len(self.question.trial), whole.rate_rps, rng)

    def world(self, draw: int) -> World:
        """Everything drawn."""
        return World(self.trace(draw), {one: values[draw] for one, values in self.z.items()})


def certainty_of(
    question: Question,
    found: Found,
    *,
    draws: int,
    load_spread: float = 0.1,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Certainty | None:
    """Draw what is uncertain and say in how many draws the choice stands; None: there is none.

    Args:
        question: what was searched.
        found: its ranking.
        draws: at least 1.
        load_spread: the load is off by this share at most, with 90 %: 0.1 is ± 10 %; 0: not at all.
        jobs: processes; the answer does not depend on them.
        progress: called with the share done and what is being done.
    """
    tell = progress or (lambda _share, _what: None)
    rivals = rivals_of(question, found)
    if not rivals:
        return None
    slim = replace(question, offers=())
    interval = (1 / (1 + load_spread), 1 + load_spread)
    asked = Asked(slim, rivals, interval, {})
    judge, nominal = asked.judge, World(question.trial, {})
    asked = replace(asked, rivals=with_extra(judge, nominal))
    judge.forget()
    subjects = subjects_of(asked.rivals, interval)
    z = {one.input: spread_evenly(one.input, draws, question.scenario.seed) for one in subjects}
    asked = replace(asked, z=z)
    tell(0.0, f"{draws} draws of what is uncertain")
    drawn, runs = _joined([partial(_draws, asked, part) for part in _parts(draws)], jobs)
    tell(0.6, "what would turn the choice by itself")
    estimate, tips, more = _by_itself(asked, subjects, jobs)
    again, most = _joined([partial(_requests, asked, part) for part in _parts(_requests_alone(draws))], jobs)
    answer = _answer(asked, drawn, estimate, _tips(tips, again, rivals[0].key))
    simulations = judge.simulations + runs + more + most
    answer = answer.model_copy(update={"load_spread": load_spread, "simulations": simulations})
    return answer.model_copy(update={"text": said(answer)})


def _requests_alone(draws: int) -> int:
    least, part = _ONLY_REQUESTS
    return min(draws, max(least, draws // part))


def _parts(draws: int) -> list[range]:
    return [range(start, min(start + _PER_TASK, draws)) for start in range(0, draws, _PER_TASK)]


def _joined(tasks: Sequence[Callable[[], tuple[list[Drawn], int]]], jobs: int) -> tuple[list[Drawn], int]:
    drawn: list[Drawn] = []
    simulations = 0
    for some, runs in run_all(tasks, jobs):
        drawn += some
        simulations += runs
    return drawn, simulations


def _draws(asked: Asked, part: range) -> tuple[list[Drawn], int]:
    """Some draws, each with everything drawn; picklable."""
    return _decided(asked, [asked.world(draw) for draw in part])


def _requests(asked: Asked, part: range) -> tuple[list[Drawn], int]:
    """Some draws of the requests alone."""
    return _decided(asked, [World(asked.trace(draw), {}) for draw in part])


def _decided(asked: Asked, worlds: Sequence[World]) -> tuple[list[Drawn], int]:
    judge, found = asked.judge, []
    for world in worlds:
        found.append(_drawn(judge, world))
        judge.forget()
    return found, judge.simulations


def _drawn(judge: Judge, world: World) -> Drawn:
    verdict = judge.decide(world)
    stand = judge.stand(judge.rivals[0], world)
    usd = math.inf if verdict.own is None else verdict.own.usd_per_hour
    best = math.inf if verdict.best_usd_per_hour is None else verdict.best_usd_per_hour
    pool = max(stand.traffic, key=lambda one: len(one.trace))
    if stand.variant.memory(stand.rival.plan.limits_of(pool)).kv_blocks <= 0:
        return Drawn(verdict.best, best, usd, False, {})
    trial = stand.as_it_is()
    return Drawn(verdict.best, best, usd, trial.holds, figures_of(trial))


def figures_of(trial: Trial) -> dict[str, float]:
    """p90 of each latency, and every limit's own percentile."""
    out = trial.outcome
    found = {"TTFT p90": out.ttft.p90_s, "TPOT p90": out.tpot.p90_s, "E2E p90": out.e2e.p90_s}
    for check in trial.checks:
        if check.percentile is not None:
            found[f"{check.metric.upper()} p{check.percentile:g}"] = check.value
    return found


def _by_itself(asked: Asked, subjects: Sequence[Subject], jobs: int) -> tuple[Drawn, list[Tipping], int]:
    """The estimate, and each input by itself; nothing tips where the estimate itself says otherwise."""
    (estimate,), runs = _decided(asked, [World(asked.question.trial, {})])
    if estimate.best != asked.rivals[0].key:
        return estimate, [], runs
    groups = [list(subjects[start::_GROUPS]) for start in range(min(_GROUPS, len(subjects)))]
    tips: list[Tipping] = []
    for some, more in run_all([partial(_tippings, asked, group) for group in groups], jobs):
        tips += some
        runs += more
    return estimate, tips, runs


_GROUPS = 4
"""Pieces of work; inputs of one share what they have in common."""


def _tippings(asked: Asked, subjects: Sequence[Subject]) -> tuple[list[Tipping], int]:
    judge = asked.judge
    found = [tipping(judge, asked.question.trial, subject) for subject in subjects]
    judge.forget()
    return found, judge.simulations


def _tips(tips: Sequence[Tipping], again: Sequence[Drawn], key: str) -> tuple[Tip, ...]:
    """In the words of the contract, likeliest first."""
    rows = [
        Tip(
            input=tip.input.words,
            origin=tip.origin,
            interval=tip.interval,
            below=None if tip.below is None else tip.below.factor,
            below_option=None if tip.below is None else tip.below.option,
            above=None if tip.above is None else tip.above.factor,
            above_option=None if tip.above is None else tip.above.option,
            chance=tip.chance,
        )
        for tip in tips
    ]
    if again and rows:
        chance = sum(one.best != key for one in again) / len(again)
        rows.append(
            Tip(
                input=REQUESTS_THEMSELVES,
                origin=None,
                interval=None,
                below=None,
                below_option=None,
                above=None,
                above_option=None,
                chance=chance,
            )
        )
    return tuple(sorted(rows, key=lambda tip: (-tip.chance, tip.input)))


def _answer(asked: Asked, drawn: Sequence[Drawn], estimate: Drawn, tips: tuple[Tip, ...]) -> Certainty:
    key = asked.rivals[0].key
    counted = Counter(one.best for one in drawn)
    order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0] or ""))
    prices = [one.own_usd_per_hour for one in drawn]
    best = [one.best_usd_per_hour for one in drawn]
    spreads = [
        _spread("USD/h", estimate.own_usd_per_hour, prices),
        _spread("USD/h of the best", estimate.best_usd_per_hour, best),
    ]
    for name, value in estimate.figures.items():
        spreads.append(_spread(name, value, [one.figures.get(name, math.inf) for one in drawn]))
    likeliest = next((tip for tip in tips if tip.origin is not None and tip.chance > 0), None)
    return Certainty(
        draws=len(drawn),
        load_spread=0.0,
        stands=counted[key],
        holds=sum(one.holds for one in drawn),
        compared=tuple(rival.key for rival in asked.rivals),
        best=tuple(Share(option=option, draws=count) for option, count in order),
        spreads=tuple(spreads),
        tips=tips,
        measure_next=None if likeliest is None else likeliest.input,
        simulations=0,
        text="",
    )


def _spread(name: str, estimate: float, values: Sequence[float]) -> Spread:
    """The values that 5 % and 95 % of the draws do not exceed."""
    low, high = interval(values)
    return Spread(name=name, estimate=_finite(estimate), low=_finite(low), high=_finite(high))


def _finite(value: float) -> float | None:
    """None where it is endless (a latency of a request that never ends is capped at 1e9 s)."""
    return value if value < 1e9 else None
