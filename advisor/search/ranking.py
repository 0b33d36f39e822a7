"""Size and price every way to serve, then rank. Read `search` first.

A first look at every variant on a part of the trial trace gives an order; then the cheapest come first, so
that the knobs of what cannot come near the best price are not searched. All figures shown come from the
same trial trace with the same seed; the best few are confirmed on a longer stretch and on other draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from advisor.deployment import Variant
from advisor.recommendation import Option
from advisor.search.candidates import memory_reason, refused_option, variants
from advisor.search.confirmation import (
    Drawn,
    Stretches,
    confirm,
    decisive_draw,
    on_draw,
    spread_of,
    stretches,
)
from advisor.search.found import Entry, Found
from advisor.search.front import fronts
from advisor.search.hybrid import hybrids
from advisor.search.options import option_of
from advisor.search.parallel import run_all
from advisor.search.pools import SizedPlan
from advisor.search.question import Offer, Question, typical_stretch
from advisor.search.trial import traffic_for, traffic_of
from advisor.search.work import Work, is_far, may_win, screen, size

_CONFIRMED = 3
_BATCH = 12
"""Pieces of work between two looks at the best price, whatever the number of processes: so is the answer."""
_SCREEN_PART = 3
"""The first look takes this part of the trial's requests."""

Progress = Callable[[float, str], None]


def search(question: Question, progress: Progress | None = None, jobs: int = 1) -> Found:
    """Screen every variant on a short trace, size them cheapest first, confirm the best, rank."""
    *_, found = search_in_parts(question, progress, jobs)
    return found


def search_in_parts(question: Question, progress: Progress | None = None, jobs: int = 1) -> Iterator[Found]:
    """The same: first as sized on the trial, then confirmed on longer traffic and other draws."""
    tell = progress or (lambda _share, _what: None)
    slim = replace(question, offers=(), whole=question.trial)
    tell(0.0, "first look at every way to serve")
    refused, waiting, simulations = _screened(question, slim, jobs)
    done: list[_Done] = []
    for start in range(0, len(waiting), _BATCH):
        tell(0.2 + 0.5 * start / len(waiting), waiting[start].variant.key)
        done += _sized(question, slim, waiting[start : start + _BATCH], _best(done, waiting[start:]), jobs)
    best = _best(done, ())
    misled = [one for one in done if one.misled_by(best[one.work.variant.way == "base"])]
    again = _sized(question, slim, [one.work for one in misled], best, jobs)
    candidates = sum(one.tried for one in done)
    simulations += sum(one.simulations for one in (*done, *again))
    entries = [*refused, *(one.entry for one in done if one not in misled), *(one.entry for one in again)]
    ranked = ranked_entries(question, entries)
    yield Found(with_fronts(question, ranked), candidates, simulations, confirmed=False)
    tell(0.7, "confirming the best on a longer stretch")
    on = stretches(question, slim)
    ranked, runs = _confirmed(question, on, ranked, jobs)
    yield Found(with_fronts(question, ranked), candidates, simulations + runs, final=on.longer)


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """A piece of work done, and the best price that was known when it was taken up."""

    work: Work
    entry: Entry
    best_usd_per_hour: float
    tried: int
    simulations: int

    def misled_by(self, best_usd_per_hour: float) -> bool:
        """Whether it was cut short for a best price that did not last (its first look was too rosy)."""
        option = self.entry.option
        if option.bound == "replicas":  # sizing may have stopped where it was too dear
            return self.best_usd_per_hour < best_usd_per_hour
        if not option.feasible or option.usd_per_hour is None:
            return False
        prices = (self.best_usd_per_hour, best_usd_per_hour)
        was, now = (is_far(option.usd_per_hour, best) for best in prices)
        if (was and not now) or option.way != "multi-lora":
            return was and not now
        was, now = (may_win(self.work, option.devices, best, holds=True) for best in prices)
        return now and not was


def _sized(
    question: Question, slim: Question, batch: Sequence[Work], best: dict[bool, float], jobs: int
) -> list[_Done]:
    """Size a batch, each against the best price of its kind (reference or not)."""
    prices = [best[work.variant.way == "base"] for work in batch]
    results = run_all([partial(size, slim, work, at) for work, at in zip(batch, prices, strict=True)], jobs)
    return [
        _Done(work, _entry(question, sized, work.offer, work.warnings), price, sized.tried, runs)
        for work, price, (sized, runs) in zip(batch, prices, results, strict=True)
    ]


def _best(done: Sequence[_Done], waiting: Sequence[Work]) -> dict[bool, float]:
    """The lowest price of what holds, by whether it is the reference: sized, or at first look if it waits."""
    prices: dict[bool, list[float]] = {True: [], False: []}
    for one in done:
        if one.entry.option.feasible and one.entry.option.usd_per_hour is not None:
            prices[one.work.variant.way == "base"].append(one.entry.option.usd_per_hour)
    for work in waiting:
        prices[work.variant.way == "base"].append(work.screened_usd_per_hour)
    return {is_base: min(found, default=float("inf")) for is_base, found in prices.items()}


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
            expanded = hybrids(question, variant) if variant.way == "hybrid" else (variant,)
            able += [(one, offer, warnings) for one in expanded]
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


def _entry(question: Question, sized: SizedPlan, offer: Offer, warnings: tuple[str, ...]) -> Entry:
    traffic = traffic_for(sized.plan.variant, question.trial, question.adapters.names)
    return Entry(option_of(question, sized, offer, traffic, warnings), offer, sized, warnings)


def _confirmed(question: Question, on: Stretches, ranked: list[Entry], jobs: int) -> tuple[list[Entry], int]:
    """Run the best few on a longer stretch, the best on the draws; again where another becomes the best.

    What the draws asked for more replicas is run on all of them only if it is still the best with those.
    """
    longer, drawn, simulations = set[str](), set[str](), 0
    draws = on.draws  # hardest first once one option was run on all of them
    grown: dict[str, Question] = {}  # by option: the draw that asked for more replicas
    while True:
        best = [e for e in ranked if e.option.feasible and not e.option.is_reference][:_CONFIRMED]
        chosen = [e for e in best if e.option.key not in longer and on.longer is not None]
        again: list[Entry] = []
        if chosen:
            longer.update(entry.option.key for entry in chosen)
            tasks = [partial(confirm, on.trial, on.longer, e.sized) for e in chosen]  # type: ignore[arg-type]  # feasible: sized
            for entry, (sized, runs) in zip(chosen, run_all(tasks, jobs), strict=True):
                simulations += runs
                again.append(_entry(question, sized, entry.offer, entry.warnings))
        elif best and draws and best[0].option.key not in drawn:
            entry, key = best[0], best[0].option.key
            ordered, seen = _seen_on(draws, entry, jobs, stops=bool(drawn or grown) and key not in grown)
            simulations += len(seen) * _pools(entry)
            draws = ordered
            hard = None if key in grown else decisive_draw(draws, seen)
            if hard is None:
                drawn.add(key)
                option = entry.option.model_copy(update={"spread": spread_of(seen)})
                again.append(replace(entry, option=option))
            else:
                grown[key] = hard
                entry, runs = _grown(question, on.trial, hard, entry)
                simulations += runs
                again.append(entry)
        else:
            break
        ranked = ranked_entries(question, _with(ranked, again))
    again, runs = _reference(question, on, grown, ranked)
    return _with(ranked, again), simulations + runs


def _seen_on(
    draws: tuple[Question, ...], entry: Entry, jobs: int, *, stops: bool
) -> tuple[tuple[Question, ...], list[Drawn]]:
    """The draws, hardest first, and what the entry did on them.

    Args:
        draws: what to run it on.
        entry: feasible, so that it is sized.
        jobs: processes.
        stops: the draws are the hardest first already; stop at half of them if it failed on all those.
    """
    assert entry.sized is not None
    seen: list[Drawn] = []
    half = (len(draws) + 1) // 2
    for part in (draws[:half], draws[half:]):
        if not stops or not seen or any(one.holds for one in seen):
            seen += run_all([partial(on_draw, draw, entry.sized) for draw in part], jobs)
    if stops:
        return draws, seen
    order = sorted(range(len(draws)), key=lambda i: -seen[i].strain)
    return tuple(draws[i] for i in order), [seen[i] for i in order]


def _pools(entry: Entry) -> int:
    return 0 if entry.sized is None else len(entry.sized.plan.replicas)


def _with(ranked: Sequence[Entry], again: Sequence[Entry]) -> list[Entry]:
    """The entries with those that were run again in their places."""
    changed = {entry.option.key: entry for entry in again}
    return [changed.get(entry.option.key, entry) for entry in ranked]


def _reference(
    question: Question, on: Stretches, grown: dict[str, Question], ranked: list[Entry]
) -> tuple[list[Entry], int]:
    """The base model on the best option's device, run on what the option was, so that the two compare."""
    able = [entry for entry in ranked if entry.option.feasible]
    best = next((e for e in able if not e.option.is_reference), None)
    if best is None:
        return [], 0
    references = [e for e in able if e.option.is_reference and e.option.device == best.option.device]
    like = (e for e in references if e.option.quantised == best.option.quantised)
    entry = next(like, references[0] if references else None)
    simulations = 0
    for part in (on.longer, grown.get(best.option.key)):
        if entry is not None and entry.option.feasible and part is not None:
            entry, runs = _grown(question, on.trial, part, entry)
            simulations += runs
    return ([] if entry is None else [entry]), simulations


def _grown(question: Question, trial: Question, part: Question, entry: Entry) -> tuple[Entry, int]:
    """An entry with the replicas that it needs on another part of the traffic."""
    assert entry.sized is not None  # it is feasible
    sized, runs = confirm(trial, part, entry.sized)
    return (entry if sized is entry.sized else _entry(question, sized, entry.offer, entry.warnings)), runs


def with_fronts(question: Question, ranked: Sequence[Entry]) -> tuple[Entry, ...]:
    """Each option with the metrics in which none beats it for its price."""
    on = fronts([entry.option for entry in ranked], question.scenario.objective)
    return tuple(
        replace(entry, option=entry.option.model_copy(update={"pareto": on.get(entry.option.key, ())}))
        for entry in ranked
    )


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
