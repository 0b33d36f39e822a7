"""Size and price every way to serve, then rank. Read `search` first.

A first look at every variant on a part of the trial trace gives an order; then the cheapest come first, so
that the knobs of what cannot come near the best price are not searched. All figures shown come from the
same trial trace with the same seed; the best few are confirmed on a longer stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from advisor.deployment import Variant
from advisor.recommendation import Option
from advisor.search.candidates import memory_reason, refused_option, variants
from advisor.search.options import option_of
from advisor.search.parallel import run_all
from advisor.search.pools import SizedPlan
from advisor.search.question import Offer, Question, stretch, typical_stretch
from advisor.search.trial import traffic_of
from advisor.search.work import Work, confirm, screen, size

_CONFIRMED = 3
_CONFIRM_FACTOR = 5
_BATCH = 6
"""Pieces of work a process between two looks at the best price."""
_SCREEN_PART = 3
"""The first look takes this part of the trial's requests."""

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
    """Screen every variant on a short trace, size them cheapest first, confirm the best, rank."""
    tell = progress or (lambda _share, _what: None)
    slim = replace(question, offers=(), whole=question.trial)
    tell(0.0, "first look at every way to serve")
    entries, waiting, simulations = _screened(question, slim, jobs)
    best = {is_base: _cheapest(waiting, is_base) for is_base in (True, False)}
    candidates = 0
    for start, batch in _batches(waiting, 1 if jobs <= 1 else _BATCH * jobs):
        tell(0.2 + 0.5 * start / len(waiting), batch[0].variant.key)
        tasks = [partial(size, slim, work, best[work.variant.way == "base"]) for work in batch]
        for work, (sized, runs) in zip(batch, run_all(tasks, jobs), strict=True):
            candidates += sized.tried
            simulations += runs
            entry = _entry(question, sized, work.offer, work.warnings)
            option = entry.option
            if option.feasible and option.usd_per_hour is not None:
                best[option.way == "base"] = min(best[option.way == "base"], option.usd_per_hour)
            entries.append(entry)
    tell(0.7, "confirming the best on a longer stretch")
    ranked, runs = _confirmed(question, slim, ranked_entries(question, entries), jobs)
    return Found(tuple(ranked_entries(question, ranked)), candidates, simulations + runs)


def _screened(question: Question, slim: Question, jobs: int) -> tuple[list[Entry], list[Work], int]:
    """What cannot run at all, with its reason; what is to be sized, cheapest first; simulations."""
    entries: list[Entry] = []
    able: list[tuple[Variant, Offer, tuple[str, ...]]] = []
    (traffic,) = traffic_of("base", question.trial, question.adapters.names)
    offers = {offer.profile.device.name: offer for offer in question.offers}
    for item in variants(question):
        if isinstance(item, Option):
            entries.append(Entry(item, offers[item.device], None))
            continue
        variant, warnings = item
        offer = offers[variant.profile.device.name]
        reason = memory_reason(question, variant, traffic)
        if reason is None:
            able.append((variant, offer, warnings))
            continue
        degree = variant.terms.tensor_parallel
        option = refused_option(question, offer, variant.way, degree, variant.key, reason, "memory")
        entries.append(Entry(option, offer, None))
    short = replace(
        slim, trial=typical_stretch(slim.trial, question.scenario.search.requests // _SCREEN_PART)
    )
    first = run_all([partial(screen, short, variant) for variant, _, _ in able], jobs)
    waiting, simulations = [], 0
    for (variant, offer, warnings), (screened, runs) in zip(able, first, strict=True):
        simulations += runs
        waiting.append(Work(variant, offer, screened, warnings))
    return entries, sorted(waiting, key=lambda work: work.screened_usd_per_hour), simulations


def _cheapest(waiting: Sequence[Work], is_base: bool) -> float:
    """Price of the cheapest first plan that holds, of the reference or of what can be recommended."""
    prices = (w.screened_usd_per_hour for w in waiting if (w.variant.way == "base") == is_base)
    return min(prices, default=float("inf"))


def _batches(waiting: Sequence[Work], count: int) -> Iterator[tuple[int, Sequence[Work]]]:
    for start in range(0, len(waiting), count):
        yield start, waiting[start : start + count]


def _entry(question: Question, sized: SizedPlan, offer: Offer, warnings: tuple[str, ...]) -> Entry:
    traffic = traffic_of(sized.plan.variant.way, question.trial, question.adapters.names)
    return Entry(option_of(question, sized, offer, traffic, warnings), offer, sized, warnings)


def _confirmed(question: Question, slim: Question, ranked: list[Entry], jobs: int) -> tuple[list[Entry], int]:
    """Run the best few on a longer stretch; one that breaks there gets the replicas it needs."""
    count = min(len(question.whole), _CONFIRM_FACTOR * len(question.trial))
    if count <= len(question.trial):
        return ranked, 0
    longer = stretch(question.whole, 0, count)
    on_longer = replace(slim, whole=longer, trial=longer)
    chosen = [e for e in ranked if e.option.feasible and not e.option.is_reference][:_CONFIRMED]
    tasks = [partial(confirm, slim, on_longer, e.sized) for e in chosen if e.sized is not None]
    again: dict[str, Entry] = {}
    simulations = 0
    for entry, (sized, runs) in zip(chosen, run_all(tasks, jobs), strict=True):
        simulations += runs
        again[entry.option.key] = _entry(question, sized, entry.offer, entry.warnings)
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
