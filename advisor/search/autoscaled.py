"""The same deployment with replicas that come and go: run on the whole traffic, beside the fixed fleet.

A fixed fleet is sized at the peak, a scaled one is given as many replicas and half as many again (to catch up
after a start-up), and what it costs is what its replicas were there, on all of the traffic with its valleys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from advisor.cost import cost_of
from advisor.elastic import Elastic
from advisor.outcome import checks_of, outcome_of
from advisor.search.found import Entry
from advisor.search.options import option_of
from advisor.search.parallel import run_all
from advisor.search.pools import SizedPlan
from advisor.search.question import Question, facts_of
from advisor.search.trial import PoolTraffic, Trial, traffic_for
from advisor.search.work import sizer_of
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES, SimResult
from advisor.sim.setup import FleetSetup, ReplicaSetup, Scaling
from advisor.spec.autoscaling import Autoscaling
from advisor.spec.spec import worst
from advisor.startup import StartUp, start_up_of

_LOOKED_AT = 4
"""Fixed fleets that are tried with scaling: the cheapest that serve the adapters, and the cheapest base."""
_FILLED = (0.5, 0.75, 1.0)
"""Targets that are tried, as shares of what one replica of the fixed fleet has in hand at the peak."""
_SPARE = 1.5
_LEFT_SHARE = 0.05
"""Of the traffic's length: a fleet that works on for longer after the last arrival has not kept up."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rule on the whole traffic."""

    scaling: Scaling
    most: int
    result: SimResult
    trial: Trial

    @property
    def mean_replicas(self) -> float:
        """Replicas that were paid, on average."""
        return self.result.paid_s / self.result.end_s if self.result.end_s > 0 else 0.0

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Smaller is better: holds, fewer paid replicas (where it holds), less strain."""
        holds = self.trial.holds
        return (not holds, self.mean_replicas if holds else 0.0, self.trial.strain)


def autoscaled(question: Question, entries: Sequence[Entry], jobs: int = 1) -> tuple[list[Entry], int]:
    """Scaled fleets beside the best fixed ones, none where the scenario does not allow it; simulations.

    Args:
        question: its trial is the peak of the traffic, on which the fixed fleets were sized.
        entries: fixed fleets, ranked.
        jobs: processes.
    """
    if question.scenario.autoscaling is None:
        return [], 0
    chosen = _chosen(entries)
    slim = replace(question, offers=())
    results = list(run_all([partial(scaled, slim, entry.sized) for entry in chosen if entry.sized], jobs))
    found = [
        _entry(question, entry, best, start_up)
        for entry, (best, start_up, _) in zip(chosen, results, strict=True)
    ]
    return found, sum(runs for _, _, runs in results)


def _chosen(entries: Sequence[Entry]) -> list[Entry]:
    fit = [e for e in entries if e.option.feasible and e.sized is not None and len(e.option.pools) == 1]
    serving = [entry for entry in fit if not entry.option.is_reference][:_LOOKED_AT]
    return [*serving, *[entry for entry in fit if entry.option.is_reference][:1]]


def scaled(question: Question, sized: SizedPlan) -> tuple[Run, StartUp, int]:
    """The cheapest rule under which the limits hold on the whole traffic, or the nearest miss; picklable."""
    wish = question.scenario.autoscaling
    assert wish is not None  # `autoscaled` asks for no other
    plan, variant = sized.plan, sized.plan.variant
    (traffic,) = traffic_for(variant, question.whole, question.adapters.names)
    memory = variant.memory(plan.limits)
    start_up = start_up_of(
        variant.profile, memory.weights_bytes * variant.terms.tensor_parallel, wish.start_up
    )
    runner = sizer_of(question).runner
    setup = runner.replica(variant, plan.limits, merged=None)
    peak = plan.replicas[0]
    most = min(math.ceil(_SPARE * peak), question.scenario.search.max_replicas)
    best: Run | None = None
    runs = 0
    for target in _targets(wish, sized, question):
        for least in _least(wish, peak):
            if best is not None and best.trial.holds and least >= best.mean_replicas:
                break
            rule = Scaling(target, start_up.seconds, least, wish.check_every, wish.window)
            run = _run(question, setup, rule, max(most, least), traffic)
            runs += 1
            if best is None or run.rank < best.rank:
                best = run
            if run.trial.holds:
                break
    assert best is not None  # there is at least one target and one least number
    return best, start_up, runs


def _targets(wish: Autoscaling, sized: SizedPlan, question: Question) -> tuple[float, ...]:
    """What a replica should have in hand: the user's figure, or shares of what it has at the peak."""
    if wish.target is not None:
        return (wish.target,)
    result = sized.trial.results[0]
    in_hand = float(result.e2e_s[result.done].sum()) / max(question.trial.duration_s, 1e-9)
    each = in_hand / sized.plan.replicas[0]
    return tuple(sorted({float(max(1, round(share * each))) for share in _FILLED}))


def _least(wish: Autoscaling, peak: int) -> Iterator[int]:
    """Numbers that stand ready: as few as allowed, then more, up to one less than at the peak."""
    yield wish.min_replicas
    for least in sorted({1, math.ceil(peak / 4), math.ceil(peak / 2), peak - 1}):
        if wish.min_replicas < least < peak:
            yield least


def _run(question: Question, setup: ReplicaSetup, rule: Scaling, most: int, traffic: PoolTraffic) -> Run:
    """Every request counts: the cold starts are what one pays for scaling, not an edge of the trial."""
    fleet = FleetSetup(setup, most, scaling=rule)
    result = simulate_fleet(fleet, traffic.trace, seed=question.scenario.seed)
    objective, duration_s = question.scenario.objective, max(question.whole.duration_s, 1e-9)
    mean = result.paid_s / max(result.end_s, 1e-9)
    outcome = outcome_of([result], objective, duration_s, max(mean, 1e-9), every=True)
    checks = checks_of(outcome, [result], objective, duration_s, every=True)
    return Run(rule, most, result, Trial((result,), outcome, checks, keeps_up(result)))


def keeps_up(result: SimResult) -> bool:
    """Whether all is done soon after the last arrival."""
    if not result.done.all():
        return False
    span_s = float(result.arrival_s[-1] - result.arrival_s[0])
    working_s = result.ttft_causes_s.sum(axis=1) - result.ttft_causes_s[:, CAUSES.index("queue")]
    alone_s = float((working_s + result.e2e_s - result.ttft_s).max())
    return float(result.end_s - result.arrival_s[-1]) <= _LEFT_SHARE * span_s + alone_s + 1.0


def _entry(question: Question, fixed: Entry, run: Run, start_up: StartUp) -> Entry:
    """The fixed fleet's option with what the scaled one did and cost."""
    assert fixed.sized is not None
    plan = fixed.sized.plan.with_replicas(run.most)
    sized = SizedPlan(plan, run.trial, False, fixed.sized.tried)
    traffic = traffic_for(plan.variant, question.whole, question.adapters.names)
    option = option_of(question, sized, fixed.offer, traffic, fixed.warnings)
    price = fixed.offer.price
    update: dict[str, object] = {
        "key": f"{option.key}/auto",
        "scaling": _elastic(fixed, run, start_up),
        "origin": worst(option.origin, start_up.origin),
    }
    if price is not None:
        facts = facts_of(question)
        output = facts.rate_rps * facts.output_tokens_mean
        tokens = output + facts.rate_rps * facts.prompt_tokens_mean
        devices = run.mean_replicas * plan.variant.terms.tensor_parallel
        beside = plan.variant.training_usd_per_hour
        cost = cost_of(devices, price.usd_per_hour, tokens, output, beside_usd_per_hour=beside)
        update |= {
            "usd_per_hour": cost.usd_per_hour,
            "usd_per_mtok": cost.usd_per_mtok,
            "usd_per_mtok_output": cost.usd_per_mtok_output,
        }
        budget = question.scenario.objective.budget
        if option.bound == "budget" and budget is not None and cost.usd_per_hour <= budget:
            update |= {"feasible": True, "bound": "", "reason": ""}
    return Entry(option.model_copy(update=update), fixed.offer, sized, fixed.warnings)


def _elastic(fixed: Entry, run: Run, start_up: StartUp) -> Elastic:
    waits = run.result.ttft_causes_s[:, CAUSES.index("start_up")]
    return Elastic(
        min_replicas=run.scaling.min_replicas,
        max_replicas=run.most,
        target=run.scaling.target,
        check_s=run.scaling.interval_s,
        window_s=run.scaling.window_s,
        start_up_s=start_up.seconds,
        start_up_origin=start_up.origin,
        start_up_source=start_up.source,
        mean_replicas=run.mean_replicas,
        starts=run.result.starts,
        waited_share=float((waits > 0).mean()),
        waited_mean_s=float(waits.mean()),
        fixed_replicas=fixed.option.replicas,
        fixed_usd_per_hour=fixed.option.usd_per_hour,
    )
