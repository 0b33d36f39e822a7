"""Size and price every way to serve, then rank. Read `search` first.

Cheap candidates first (by algebra), so that a good price is known early and the knobs of what
cannot come near it are not searched. Everything is simulated on the same trial trace with the same
seed; the best few are confirmed on a longer stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from advisor.deployment import WAYS
from advisor.recommendation import Option
from advisor.search.candidates import memory_reason, refused_option, variants
from advisor.search.options import option_of
from advisor.search.parallel import run_all
from advisor.search.pools import SizedPlan
from advisor.search.question import Offer, Question, stretch
from advisor.search.trial import traffic_of
from advisor.search.work import Work, confirm, optimistic_usd_per_hour, size, sizer_of

_CONFIRMED = 3
_CONFIRM_FACTOR = 5

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A sized candidate: what the option says and what later studies need."""

    option: Option
    offer: Offer
    sized: SizedPlan | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All entries, ranked."""

    entries: tuple[Entry, ...]
    candidates: int
    simulations: int

    @property
    def best(self) -> Entry | None:
        """The recommended one: the first feasible that can serve the adapters."""
        return next((e for e in self.entries if e.option.feasible and not e.option.is_reference), None)


def search(question: Question, progress: Progress | None = None, jobs: int = 1) -> Found:
    """Size every candidate and rank the options."""
    tell = progress or (lambda _share, _what: None)
    entries, waiting = _sorted_out(question)
    best = {True: float("inf"), False: float("inf")}  # of the reference, of what can be recommended
    candidates = simulations = 0
    slim = replace(question, offers=(), whole=question.trial)
    for start, batch in _batches(waiting, 1 if jobs <= 1 else 2 * jobs):
        tell(0.7 * start / len(waiting), batch[0].variant.key)
        tasks = [partial(size, slim, work, best[work.variant.way == "base"]) for work in batch]
        for work, (sized, runs) in zip(batch, run_all(tasks, jobs), strict=True):
            candidates += sized.tried
            simulations += runs
            option = _option(question, work, sized)
            if option.feasible and option.usd_per_hour is not None:
                best[option.way == "base"] = min(best[option.way == "base"], option.usd_per_hour)
            entries.append(Entry(option, work.offer, sized, work.warnings))
    tell(0.7, "confirming the best on a longer stretch")
    ranked, runs = _confirmed(question, ranked_entries(question, entries), jobs)
    return Found(tuple(ranked_entries(question, ranked)), candidates, simulations + runs)


def _sorted_out(question: Question) -> tuple[list[Entry], list[Work]]:
    """What cannot run at all, with its reason; and what is to be sized, cheapest by algebra first."""
    entries: list[Entry] = []
    waiting: list[Work] = []
    sizer = sizer_of(question)
    traffic = {way: traffic_of(way, question.trial, question.adapters.names) for way in WAYS}
    offers = {offer.profile.device.name: offer for offer in question.offers}
    for item in variants(question):
        if isinstance(item, Option):
            entries.append(Entry(item, offers[item.device], None))
            continue
        variant, warnings = item
        offer = offers[variant.profile.device.name]
        reason = memory_reason(question, variant, traffic["base"][0])
        if reason is not None:
            degree = variant.terms.tensor_parallel
            option = refused_option(question, offer, variant.way, degree, variant.key, reason, "memory")
            entries.append(Entry(option, offer, None))
            continue
        price = optimistic_usd_per_hour(question, sizer, variant, offer, traffic[variant.way])
        waiting.append(Work(price, variant, offer, warnings))
    return entries, sorted(waiting, key=lambda work: work.optimistic_usd_per_hour)


def _batches(waiting: Sequence[Work], count: int) -> Iterator[tuple[int, Sequence[Work]]]:
    for start in range(0, len(waiting), count):
        yield start, waiting[start : start + count]


def _option(question: Question, work: Work, sized: SizedPlan) -> Option:
    traffic = traffic_of(work.variant.way, question.trial, question.adapters.names)
    return option_of(question, work, sized, traffic)


def _confirmed(question: Question, ranked: list[Entry], jobs: int) -> tuple[list[Entry], int]:
    """Run the best few on a longer stretch; one that breaks there gets the replicas it needs."""
    count = min(len(question.whole), _CONFIRM_FACTOR * len(question.trial))
    if count <= len(question.trial):
        return ranked, 0
    longer = stretch(question.whole, 0, count)
    slim = replace(question, offers=(), whole=question.trial)
    longer_question = replace(slim, whole=longer, trial=longer)
    chosen = [e for e in ranked if e.option.feasible and not e.option.is_reference][:_CONFIRMED]
    tasks = [partial(confirm, slim, longer_question, e.sized) for e in chosen if e.sized is not None]
    again: dict[str, Entry] = {}
    simulations = 0
    for entry, (sized, runs) in zip(chosen, run_all(tasks, jobs), strict=True):
        simulations += runs
        work = Work(0.0, sized.plan.variant, entry.offer, entry.warnings)
        option = _option(question, work, sized)
        again[option.key] = Entry(option, entry.offer, sized, entry.warnings)
    return [again.get(entry.option.key, entry) for entry in ranked], simulations


def ranked_entries(question: Question, entries: list[Entry]) -> list[Entry]:
    """Feasible first: by price, then by strain (cheapest), or by mean E2E (fastest); then the infeasible."""
    fastest = question.scenario.objective.goal == "fastest"

    def place(entry: Entry) -> tuple[object, ...]:
        option, sized = entry.option, entry.sized
        price = option.usd_per_hour if option.usd_per_hour is not None else float("inf")
        strain = float("inf") if sized is None else sized.trial.strain
        speed = float("inf") if option.outcome is None else option.outcome.e2e.mean_s
        first, second = (speed, price) if fastest else (price, strain)
        return (not option.feasible, sized is None, first, second, option.key)

    return sorted(entries, key=place)
