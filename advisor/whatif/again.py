"""The choice among a few options of an answer, for a changed question. Read `Again.decide` first.

Knobs stay as the answer has them; slots that held every adapter still do, as far as there is memory.
Replicas are counted anew, on at most `REQUESTS` requests. Where the answer has more replicas than those take,
because a longer stretch asked for them, the difference is added again. What an answer in full would find
beyond that, this does not see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from advisor.deployment import Variant
from advisor.recommendation import Option, Recommendation
from advisor.search.candidates import memory_reason, refused_option, variants
from advisor.search.floor import floor_reason
from advisor.search.found import Entry
from advisor.search.knobs import start_limits, with_slots
from advisor.search.options import option_of
from advisor.search.parallel import run_all
from advisor.search.pools import SizedPlan, Sizer, longest_request
from advisor.search.question import Offer, Question, typical_stretch
from advisor.search.ranking import ranked_entries
from advisor.search.sizing import fewest_replicas
from advisor.search.trial import Plan, PoolTraffic, Trial, by_popularity, traffic_for
from advisor.search.work import sizer_of
from advisor.spec.engine import EngineLimits

REQUESTS: Final = 2000
RIVALS: Final = 4
_NEAR = 4.0
"""Options that cost more than this many times the recommended one are no near rivals."""
_GROWTH, _MORE = 2, 4
"""More than this many times the replicas to begin with, and this many more, are not tried."""
_ALL_SLOTS = 64
"""Slots at most where an option held every adapter and there are more of them now."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An option of the answer, and what it takes on the answer's own requests.

    Attributes:
        option: with its knobs.
        guess: replicas by algebra; their change says where to begin.
        alone: replicas that hold; None: not known yet.
    """

    option: Option
    guess: int = 0
    alone: int | None = None

    @property
    def extra(self) -> int:
        """Replicas that the answer has beyond that, where it holds."""
        if self.alone is None or not self.option.feasible:
            return 0
        return max(0, self.option.replicas - self.alone)


@dataclass(frozen=True, slots=True)
class Again:
    """A few options of one answer, ready to be decided again and again."""

    kept: tuple[Kept, ...]

    def decide(self, question: Question, jobs: int = 1) -> tuple[Option, ...]:
        """The options sized for a question, ranked as the search ranks.

        Args:
            question: the changed scenario, looked up.
            jobs: processes; the result does not depend on them.
        """
        entries, waiting = _variants(question, self.kept)
        slim = _short(question)
        for (sized, _, _), one in zip(_all_sized(slim, waiting, jobs), waiting, strict=True):
            traffic = traffic_for(one.variant, slim.trial, question.adapters.names)
            option = option_of(question, sized, one.offer, traffic, one.warnings)
            entries.append(Entry(option, one.offer, sized, one.warnings))
        return tuple(entry.option for entry in ranked_entries(question, entries))


def again(question: Question, rec: Recommendation, jobs: int = 1, rivals: int = RIVALS) -> Again:
    """The recommended option and its nearest rivals, with what they take on the answer's own requests.

    Args:
        question: of the answer, looked up.
        rec: the answer.
        jobs: processes; the result does not depend on them.
        rivals: how many options at most.
    """
    _, waiting = _variants(question, [Kept(option) for option in rivals_of(rec, rivals)])
    sized = _all_sized(_short(question), waiting, jobs)
    return Again(
        tuple(
            Kept(one.kept.option, guess, alone) for (_, guess, alone), one in zip(sized, waiting, strict=True)
        )
    )


def rivals_of(rec: Recommendation, count: int) -> tuple[Option, ...]:
    """The recommended option and the nearest that could take its place, different kinds first.

    Args:
        rec: the answer.
        count: how many at most.
    """
    able = [o for o in rec.options if o.limits is not None and o.replicas and not o.is_reference]
    best = next((o for o in able if o.key == rec.recommended), able[0] if able else None)
    if best is None:
        return ()
    limit = math.inf if best.usd_per_hour is None else _NEAR * best.usd_per_hour
    kinds = {(best.way, best.device)}
    first: list[Option] = []
    rest: list[Option] = []
    for option in able:
        if option is not best and (option.usd_per_hour or 0.0) <= limit:
            kind = (option.way, option.device)
            (rest if kind in kinds else first).append(option)
            kinds.add(kind)
    return (best, *first, *rest)[:count]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A kept option as it is in the question."""

    kept: Kept
    variant: Variant
    offer: Offer
    warnings: tuple[str, ...]

    def usd_per_hour(self, replicas: int) -> float:
        """Price of so many replicas; infinite where none is known."""
        price = math.inf if self.offer.price is None else self.offer.price.usd_per_hour
        return replicas * self.variant.terms.tensor_parallel * price + self.variant.training_usd_per_hour


_Result = tuple[SizedPlan, int, int]


def _all_sized(question: Question, waiting: Sequence[_Waiting], jobs: int) -> list[_Result]:
    """Everything sized, in the order given: first what meets the objective in the answer, as far as it takes.

    What does not is of interest only if it costs less than that now: it is sized as far as the money goes.
    """
    found: dict[int, _Result] = {}
    best_usd_per_hour = math.inf
    for able in (True, False):
        part = [(i, one) for i, one in enumerate(waiting) if one.kept.option.feasible is able]
        tasks = [
            partial(_sized, question, one.variant, one.kept, _affordable(one, best_usd_per_hour))
            for _, one in part
        ]
        for result, (index, one) in zip(run_all(tasks, jobs), part, strict=True):
            found[index] = result
            if result[0].trial.holds and question.scenario.objective.goal == "cheapest":
                usd_per_hour = one.usd_per_hour(sum(result[0].plan.replicas))
                best_usd_per_hour = min(best_usd_per_hour, usd_per_hour)
    return [found[index] for index in range(len(waiting))]


def _affordable(one: _Waiting, usd_per_hour: float) -> int | None:
    """Replicas that cost no more, of what does not meet the objective in the answer; None: any number."""
    beside = one.variant.training_usd_per_hour
    each = one.usd_per_hour(1) - beside
    if one.kept.option.feasible or math.inf in (each, usd_per_hour):
        return None
    return max(1, math.floor((usd_per_hour - beside) / each + 1e-9))


def _variants(question: Question, kept: Sequence[Kept]) -> tuple[list[Entry], list[_Waiting]]:
    """What cannot run in the question, with its reason; and what can."""
    found = {item.key if isinstance(item, Option) else item[0].key: item for item in variants(question)}
    offers = {offer.profile.device.name: offer for offer in question.offers}
    entries: list[Entry] = []
    waiting: list[_Waiting] = []
    for one in kept:
        option, item = one.option, found.get(_plain_key(one.option))
        if item is None:
            continue
        offer = offers[option.device]
        if isinstance(item, Option):
            entries.append(Entry(item, offer, None))
            continue
        variant, warnings = _like(question, item[0], option), item[1]
        pool = traffic_for(variant, question.trial, question.adapters.names)[-1]
        reason = memory_reason(question, variant, pool)
        if reason is None:
            waiting.append(_Waiting(one, variant, offer, warnings))
            continue
        degree = option.tensor_parallel
        no = refused_option(question, offer, variant.way, degree, variant.key, reason, "memory")
        entries.append(Entry(no, offer, None))
    return entries, waiting


def _plain_key(option: Option) -> str:
    """The key of the option's variant before a hybrid's number of merged adapters is chosen."""
    way, _, rest = option.key.partition("/")
    return f"{'hybrid' if option.way == 'hybrid' else way}/{rest}"


def _like(question: Question, variant: Variant, option: Option) -> Variant:
    """The variant with what the option chose: the router, and how many adapters are merged."""
    merged = sum(pool.merged for pool in option.pools) if option.way == "hybrid" else 0
    return replace(variant, router=option.router, hottest=by_popularity(question.whole)[:merged])  # type: ignore[arg-type]  # a router's name by construction


def _short(question: Question) -> Question:
    """The question on few requests, and without what a simulation does not need."""
    trial = typical_stretch(question.trial, REQUESTS)
    return replace(question, offers=(), whole=trial, trial=trial)


def _limits(question: Question, variant: Variant, option: Option) -> EngineLimits:
    """The option's knobs under the question's adapters."""
    limits, own = start_limits(question, variant), option.limits
    assert own is not None  # rivals_of saw to it
    kept = {"max_num_seqs": own.max_num_seqs, "max_num_batched_tokens": own.max_num_batched_tokens}
    limits = limits.model_copy(update=kept)
    if not own.max_loras:
        return limits
    held = sum(len(pool.adapters) for pool in option.pools if not pool.merged)
    most = max(own.max_loras, _ALL_SLOTS) if own.max_loras >= held else own.max_loras
    slots = max(1, min(most, len(question.adapters.names)))
    pool = traffic_for(variant, question.trial, question.adapters.names)[-1]
    while slots > 1 and variant.memory(
        with_slots(question, variant, limits, slots)
    ).kv_tokens < longest_request(pool, variant):
        slots //= 2
    return with_slots(question, variant, limits, slots)


def _sized(question: Question, variant: Variant, kept: Kept, affordable: int | None) -> _Result:
    """The option sized anew, with its extra replicas; algebra's guess; replicas without the extra ones."""
    sizer, limits = (
        replace(sizer_of(question), affordable=affordable),
        _limits(question, variant, kept.option),
    )
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    pool = max(traffic, key=lambda one: len(one.trace))
    guess = sizer.guess(variant, limits, pool)
    own = Plan(variant, limits, ()).limits_of(pool)
    clock = sizer.runner.replica(variant, own, merged=pool.merged).clock
    floor = floor_reason(variant, own, clock, pool, question.scenario.objective) or ""
    start = min(_start(kept, guess), sizer.most)
    if floor:
        plan = Plan(variant, limits, tuple(1 for _ in traffic) if variant.has_pools else (start,))
        trial = sizer.runner.run(plan, traffic, sizer.duration_s)
        return SizedPlan(plan, trial, True, 1, floor), guess, sum(plan.replicas)
    if variant.has_pools:
        sized = replace(sizer, affordable=min(sizer.most, _GROWTH * start + _MORE)).several(
            variant, limits, traffic
        )
    else:
        sized = _one_pool(sizer, variant, limits, traffic, start)
    alone = sum(sized.plan.replicas)
    return _with_extra(sizer, sized, traffic, kept.extra), guess, alone


def _start(kept: Kept, guess: int) -> int:
    """Replicas to begin with: the answer's, changed as algebra's guess changes."""
    if not kept.option.feasible:
        return max(1, guess)
    now = kept.option.replicas if kept.alone is None else kept.alone
    return max(1, guess, round(now * guess / kept.guess) if kept.guess else now)


def _one_pool(
    sizer: Sizer, variant: Variant, limits: EngineLimits, traffic: tuple[PoolTraffic, ...], start: int
) -> SizedPlan:
    def run(replicas: int) -> Trial:
        return sizer.runner.run(Plan(variant, limits, (replicas,)), traffic, sizer.duration_s)

    found = fewest_replicas(run, start, min(sizer.most, _GROWTH * start + _MORE))
    return SizedPlan(Plan(variant, limits, (found.replicas,)), found.trial, found.stagnant, 1)


def _with_extra(sizer: Sizer, sized: SizedPlan, traffic: tuple[PoolTraffic, ...], extra: int) -> SizedPlan:
    """The plan with more replicas in its largest pool, where it holds at all."""
    if not extra or not sized.trial.holds:
        return sized
    replicas = list(sized.plan.replicas)
    replicas[replicas.index(max(replicas))] += extra
    plan = sized.plan.with_replicas(*replicas)
    return replace(sized, plan=plan, trial=sizer.runner.run(plan, traffic, sizer.duration_s))
