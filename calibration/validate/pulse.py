"""How fast the machine is right now: a small fixed load beside every replay.

A shared machine takes 10 to 40 % longer over the same step in one minute than in another, and no profile can
know in which minute a replay will be. So before and after each replay a warm engine answers the same few
requests; the time of their steps over the profile's for the very same batches is the slowness at that time,
and the replay is predicted for a machine so slow. The load is fixed and in no trace; on a steady machine the
slowness is 1. It is published beside each figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Final, Self

import numpy as np

from advisor.profile import Profile
from advisor.sim.result import SimResult
from advisor.steptime.batch import StepClock
from advisor.trace.trace import BASE, Trace
from calibration.engine.requests import StepRecord
from calibration.livesetup import LiveSetup
from calibration.predict import predict, replica_of

_LEAST_S: Final = 1.0
_REQUESTS: Final = 12


class Pulse:
    """A warm engine and the requests that it answers again and again."""

    def __init__(self, setup: LiveSetup, profile: Profile) -> None:
        self._setup = setup
        names = tuple(setup.adapters)
        count = np.zeros(1, dtype=np.int64)
        trace = Trace(np.zeros(1), count + 8, count + 8, count + BASE, names, name="pulse")
        self._clock = replica_of(profile, setup, trace).clock
        self._engine = setup.engine()

    def __enter__(self) -> Self:
        self.slowness()  # the first one warms up
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close()

    def slowness(self) -> float:
        """Measured over foreseen time of the same steps, summed: a replay feels slow spells as well."""
        took_s = foreseen_s = 0.0
        end = perf_counter() + _LEAST_S
        while not took_s or perf_counter() < end:
            took, foreseen = self._burst()
            took_s, foreseen_s = took_s + took, foreseen_s + foreseen
        return took_s / foreseen_s

    def _burst(self) -> tuple[float, float]:
        engine, names = self._engine, tuple(self._setup.adapters)
        vocab = engine.architecture.shape.vocab_size
        for number in range(_REQUESTS):
            prompt = [1 + (13 * i + 7 * number) % (vocab - 1) for i in range(16 + 8 * (number % 6))]
            adapter = names[number % len(names)] if names and number % 3 else None
            engine.add_request(prompt, adapter=adapter, max_tokens=12 + 2 * (number % 4), ignore_eos=True)
        before = engine.books.counters.steps
        while engine.busy:
            engine.step()
        return step_times(self._clock, list(engine.books.steps)[before - engine.books.counters.steps :])


def step_times(clock: StepClock, steps: Iterable[StepRecord]) -> tuple[float, float]:
    """(what steps took, what the profile foresees for these batches), seconds, adapter loads left out."""
    took_s = foreseen_s = 0.0
    for step in steps:
        took_s += step.end_s - step.start_s - step.load_s
        foreseen_s += clock.parts(step.batch).total
    return took_s, foreseen_s


def predict_at(profile: Profile, setup: LiveSetup, trace: Trace, slowness: float, seed: int) -> SimResult:
    """The prediction for a machine on which everything takes `slowness` times as long.

    Exact without a change to the profile: arrivals come so many times faster on the profile's own clock, and
    every time that comes out is multiplied.
    """
    quick = replace(trace, arrival_s=trace.arrival_s / slowness)
    found = predict(profile, setup, quick, seed=seed)
    times = ("scheduled_s", "first_token_s", "last_token_s", "ttft_causes_s", "decode_causes_s", "end_s",
             "step_time_s", "load_s", "itl_s")  # fmt: skip
    stretched = {name: getattr(found, name) * slowness for name in times}
    return replace(found, arrival_s=trace.arrival_s, series=(), **stretched)
