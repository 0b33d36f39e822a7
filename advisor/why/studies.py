"""What is asked about the recommended option after it was found, each a piece of work of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from advisor.recommendation import Explanation, Knee, SlotSweep, Turn
from advisor.search.found import Entry, Found
from advisor.search.parallel import run_all
from advisor.search.question import Question
from advisor.search.trial import Plan
from advisor.search.work import sizer_of
from advisor.why.curves import headroom, knee, slot_sweep
from advisor.why.explain import explain_plan
from advisor.why.turns import price_turn, turn_tasks

_WITH_HEADROOM = 3


@dataclass(frozen=True, slots=True)
class Studies:
    """What the studies found."""

    found: Found  # with the headroom of the best few
    explanation: Explanation | None
    knee: Knee | None
    slots: SlotSweep | None
    turns: tuple[Turn, ...]
    simulations: int


def study(question: Question, found: Found, shown: Entry | None, jobs: int) -> Studies:
    """Run all studies, on several cores if asked.

    Args:
        question: what was searched.
        found: its ranking.
        shown: the entry to explain: the best, or the nearest miss; None: there is none.
        jobs: processes.
    """
    if shown is None or shown.sized is None:
        return Studies(found, None, None, None, (), 0)
    slim, plan = replace(question, offers=(), whole=question.trial), shown.sized.plan
    best = [e for e in found.entries if e.option.feasible and not e.option.is_reference]
    named = [(e.option.key, e.sized.plan) for e in best[:_WITH_HEADROOM] if e.sized is not None]
    tasks: list[Callable[[], tuple[Any, int]]] = [
        partial(_run, explain_plan, slim, plan, shown.option.key),
        partial(_run, knee, slim, plan),
        partial(_run, slot_sweep, slim, plan),
        *(partial(_run, headroom, found.final or slim, sized) for _, sized in named),
        *turn_tasks(slim, found),
    ]
    results, runs = zip(*run_all(tasks, jobs), strict=True)
    explanation, load, slots, *rest = results
    factors = dict(zip((key for key, _ in named), rest, strict=False))
    price = price_turn(found)
    turns = (*rest[len(named) :], *(() if price is None else (price,)))
    return Studies(_with_headroom(found, factors), explanation, load, slots, turns, sum(runs))


def _run(ask: Callable[..., Any], question: Question, plan: Plan, *more: object) -> tuple[Any, int]:
    """One study with a runner of its own, and the simulations that it took."""
    runner = sizer_of(question).runner
    return ask(question, runner, plan, *more), runner.simulations


def _with_headroom(found: Found, factors: dict[str, float]) -> Found:
    entries = tuple(
        replace(entry, option=entry.option.model_copy(update={"headroom": factors[entry.option.key]}))
        if entry.option.key in factors
        else entry
        for entry in found.entries
    )
    return replace(found, entries=entries)
