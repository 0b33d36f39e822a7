"""An option of an answer, simulated again as the answer has it, with the state of its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.deployment import Variant, fleet, without_adapters
from advisor.errors import InputError
from advisor.outcome import counted
from advisor.profile import Profile
from advisor.recommendation import Option
from advisor.search.candidates import variants
from advisor.search.question import Question, resolve
from advisor.search.trial import PoolTraffic, as_base, by_popularity, traffic_for
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import ReplicaSetup
from advisor.spec.scenario import Scenario
from advisor.trace.trace import Trace

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Inside:
    """One pool of an option: what happened in it, and what the plain base would do with the same requests.

    Attributes:
        option: the option's key.
        pool: the pool's name.
        replicas: how many it has.
        setup: one of them.
        trace: the pool's requests.
        result: with a series a replica.
        base: the same requests to the plain base model, without drafts, on as many replicas.
    """

    option: str
    pool: str
    replicas: int
    setup: ReplicaSetup
    trace: Trace
    result: SimResult
    base: SimResult

    @property
    def counts(self) -> Bools:
        """Which requests the answer's figures count, shape (requests,): neither the first nor the last.

        The first meet empty replicas, the last a queue that is fed no more (`advisor.outcome.counted`).
        """
        return (
            counted((self.result,), max(self.trace.duration_s, 1e-9))[0] & self.result.done & self.base.done
        )

    def adapter_of(self, request: int) -> str:
        """The name of a request's adapter; base where it has none."""
        index = int(self.trace.adapter[request])
        return self.trace.adapters[index] if index >= 0 else "base"


def look_inside(
    scenario: Scenario,
    option: Option,
    profiles: Sequence[Profile] | None = None,
    *,
    folder: Path = Path(),
    pool: str | None = None,
) -> Inside:
    """Simulate one pool of an option again, on the stretch of traffic that the search uses.

    Args:
        scenario: the question that the option answers.
        option: of its answer, with knobs and replicas.
        profiles: as `recommend`.
        folder: where relative paths of the scenario start.
        pool: its name; None: the busiest.

    Raises:
        InputError: the option has no replicas, or is none of this scenario's; a pool that it has not.
    """
    if option.limits is None or not option.pools:
        raise InputError(f"{option.key}: was not simulated; allowed: an option with replicas.")
    question = resolve(scenario, profiles, folder)
    variant = _variant(question, option)
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    index = _index(traffic, option, pool)
    mine, replicas = traffic[index], option.pools[index].replicas
    limits = without_adapters(option.limits) if mine.fine_tuned else option.limits
    setup = variant.replica(limits, question.ranks, merged=mine.merged)
    plain = replace(variant, drafting=None).replica(without_adapters(limits), question.ranks)
    result = simulate_fleet(
        fleet(setup, replicas, variant.router), mine.trace, seed=scenario.seed, series=True
    )
    base = simulate_fleet(fleet(plain, replicas, variant.router), as_base(mine.trace), seed=scenario.seed)
    return Inside(option.key, mine.name, replicas, setup, mine.trace, result, base)


def _variant(question: Question, option: Option) -> Variant:
    """The variant that an option is of, with its router and its merged adapters."""
    way, _, rest = option.key.partition("/")
    wanted = f"{'hybrid' if option.way == 'hybrid' else way}/{rest}"
    for item in variants(question):
        if not isinstance(item, Option) and item[0].key == wanted:
            merged = sum(pool.merged for pool in option.pools) if option.way == "hybrid" else 0
            hottest = by_popularity(question.whole)[:merged]
            return replace(item[0], router=option.router, hottest=hottest)  # type: ignore[arg-type]  # a router's name by construction
    raise InputError(f"option is {option.key}; allowed: an option of the scenario's own answer.")


def _index(traffic: Sequence[PoolTraffic], option: Option, pool: str | None) -> int:
    """The place of a pool, among those that have requests."""
    names = [one.name for one in traffic if len(one.trace)]
    if pool is None:
        return max(range(len(traffic)), key=lambda i: len(traffic[i].trace))
    if pool not in names or len(traffic) != len(option.pools):
        raise InputError(f"pool is {pool!r:.60}; allowed: {', '.join(names[:20])}.")
    return next(i for i, one in enumerate(traffic) if one.name == pool)
