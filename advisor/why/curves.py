"""Load against latency of a chosen plan: its knee, its headroom, and the effect of the number of slots."""

from __future__ import annotations

from dataclasses import replace

from advisor.recommendation import Knee, LimitAtLoad, SloCheck, SlotSweep
from advisor.search.knobs import slot_choices, with_slots
from advisor.search.question import Question
from advisor.search.trial import Plan, PoolTraffic, Runner, Trial, traffic_for
from advisor.trace.scale import faster

_LOADS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
_HEADROOM_MOST = 8.0
_HEADROOM_ROUNDS = 4


def _run(question: Question, runner: Runner, plan: Plan, factor: float) -> Trial:
    trace = faster(question.trial, factor)
    traffic: tuple[PoolTraffic, ...] = traffic_for(plan.variant, trace, question.adapters.names)
    results = [
        runner.fleet(
            runner.replica(plan.variant, plan.limits_of(pool), merged=pool.merged),
            pool.trace,
            count,
            plan.variant.router,
        )
        for pool, count in zip(traffic, plan.replicas, strict=True)
        if len(pool.trace)
    ]
    return runner.judge(results, max(trace.duration_s, 1e-9), sum(plan.replicas))


def knee(question: Question, runner: Runner, plan: Plan) -> Knee:
    """Simulate the plan at multiples of the asked load, replicas as they are."""
    trials = [_run(question, runner, plan, load) for load in _LOADS]
    rate = question.trial.rate_rps
    return Knee(
        load=_LOADS,
        rate_rps=tuple(rate * load for load in _LOADS),
        ttft_p99_s=tuple(t.outcome.ttft.p99_s for t in trials),
        tpot_p99_s=tuple(t.outcome.tpot.p99_s for t in trials),
        goodput_share=tuple(t.outcome.goodput_share for t in trials),
        limits=tuple(_at_loads(checks) for checks in zip(*(t.checks for t in trials), strict=True)),
    )


def _at_loads(checks: tuple[SloCheck, ...]) -> LimitAtLoad:
    """One limit of the objective, from its checks at each load."""
    first = checks[0]
    return LimitAtLoad(
        metric=first.metric,
        percentile=first.percentile,
        limit=first.limit,
        value=tuple(check.value for check in checks),
    )


def headroom(question: Question, runner: Runner, plan: Plan) -> float:
    """Largest multiple of the asked load at which every limit holds, within 5 %; about 8 at most."""
    low, high = 1.0, 1.25
    while high < _HEADROOM_MOST and _run(question, runner, plan, high).holds:
        low, high = high, high * 1.5
    for _ in range(_HEADROOM_ROUNDS):
        if high / low < 1.05:
            break
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _run(question, runner, plan, middle).holds else (low, middle)
    return low


def slot_sweep(question: Question, runner: Runner, plan: Plan) -> SlotSweep | None:
    """Simulate the plan with every number of slots; None where it has none."""
    variant, limits = plan.variant, plan.limits
    if not limits.max_loras:
        return None
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    rows = []
    for slots in sorted({*slot_choices(question, variant), limits.max_loras}):
        candidate = with_slots(question, variant, limits, slots)
        memory = variant.memory(candidate)
        longest = int((question.trial.prompt_tokens + question.trial.output_tokens).max()) + 1
        if memory.kv_tokens < longest:
            continue
        trial = runner.run(replace(plan, limits=candidate), traffic, max(question.trial.duration_s, 1e-9))
        rows.append((slots, trial.outcome.ttft.p99_s, trial.outcome.tpot.mean_s, memory.kv_tokens))
    columns = list(zip(*rows, strict=True))
    return SlotSweep(
        max_loras=columns[0],
        ttft_p99_s=columns[1],
        tpot_mean_s=columns[2],
        kv_tokens=columns[3],
        chosen=limits.max_loras,
    )
