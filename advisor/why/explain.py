"""Why is this deployment slower (or faster) than its base? Causes, found by switching them off in turn.

From the deployment as it is, each run removes one more cause on the same replicas and the same
requests: adapter loading, the admission wait for max_loras (or, in an engine of one adapter a step, for
another one's end), LoRA work in pure decode steps, LoRA work in steps with prompt chunks, the memory that
slots take from the KV cache, the prefix cache's split by adapter, speculation. The last run is the plain
base model. Each cause is the difference between two neighbouring runs, so the causes add up to the whole
difference exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from advisor.deployment import Variant, without_adapters
from advisor.recommendation import CauseDelta, Explanation, Outcome
from advisor.search.question import Question
from advisor.search.trial import Plan, PoolTraffic, Runner, as_base, traffic_for
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, ReplicaSetup, Router, SpecSetup
from advisor.trace.scale import take
from advisor.trace.trace import Trace
from advisor.why.counterfactual import LoraInPrefillOnly, WithoutLora

_LONE_REQUESTS = 200
_LONE_GAP_S = 1e4


def explain_plan(question: Question, runner: Runner, plan: Plan, key: str) -> Explanation:
    """Run the counterfactuals of a plan and name each cause's part.

    A plan of several pools is explained by its busiest one. The requests of merged weights differ from
    the base's by nothing but speculation.
    """
    variant = plan.variant
    pools = traffic_for(variant, question.trial, question.adapters.names)
    index = max(range(len(pools)), key=lambda i: len(pools[i].trace))
    trace, replicas = pools[index].trace, plan.replicas[index]
    duration_s = max(trace.duration_s, 1e-9)
    runs: list[tuple[str, Outcome]] = []
    setup, requests = None, trace
    for cause, setup, requests in _ladder(plan, runner, pools[index]):
        result = runner.fleet(setup, requests, replicas, variant.router)
        runs.append((cause, runner.judge((result,), duration_s, replicas).outcome))
    assert setup is not None  # the ladder always yields the deployment itself
    deltas = tuple(_delta(cause, before, after) for (_, before), (cause, after) in pairwise(runs))
    base = runs[-1][1]
    lone = _lone(runner, setup, requests, variant.router)
    unloaded = float(np.mean(lone.ttft_s))
    return Explanation(
        option=key,
        base=base,
        deployment=runs[0][1],
        deltas=deltas,
        unloaded_ttft_s=unloaded,
        queueing_ttft_s=base.ttft.mean_s - unloaded,
        text=_of_pool(pools, index) + _text(runs[0][1], base, deltas),
    )


def _ladder(plan: Plan, runner: Runner, pool: PoolTraffic) -> Iterator[tuple[str, ReplicaSetup, Trace]]:
    """Yield (cause removed last, replica, requests), from the deployment to the plain base."""
    variant, limits, trace, merged = plan.variant, plan.limits_of(pool), pool.trace, pool.merged
    setup = runner.replica(variant, limits, merged=merged)
    yield "", setup, trace
    if limits.max_loras:
        count = len(trace.adapters)
        setup = replace(setup, loads=AdapterLoads((0.0,) * count, (0.0,) * count))
        yield "adapter loading", setup, trace
        free = limits.model_copy(
            update={
                "max_loras": max(limits.max_loras, count),
                "max_cpu_loras": max(limits.max_cpu_loras, count),
                "batching": "mixed" if limits.batching == "one_adapter" else limits.batching,
            }
        )
        setup = replace(setup, limits=free)
        yield "admission wait", setup, trace
        bare = without_adapters(limits)
        plain = runner.replica(variant, bare, merged=merged)
        setup = replace(setup, clock=LoraInPrefillOnly(setup.clock, plain.clock))
        yield "LoRA in decode", setup, trace
        setup = replace(setup, clock=WithoutLora(plain.clock))
        yield "LoRA in prefill", setup, trace
        setup = replace(setup, kv_blocks=variant.memory(bare).kv_blocks)
        yield "slots' memory", setup, trace
        trace = as_base(trace)
        setup = replace(plain, speculation=_adapter_acceptance(variant, plain.speculation))
        yield "prefix cache split by adapter", setup, trace
    if variant.drafting is not None:
        base = replace(variant, drafting=None)
        yield "speculation", runner.replica(base, without_adapters(limits), merged=merged), trace


def _adapter_acceptance(variant: Variant, spec: SpecSetup | None) -> SpecSetup | None:
    """Keep the adapters' acceptance for requests that become base requests: only the cache changes.

    Where adapters have acceptances of their own, the mean of them is kept.
    """
    if spec is None or variant.drafting is None:
        return spec
    return replace(spec, base=variant.drafting.mean_adapter)


def _lone(runner: Runner, setup: ReplicaSetup, trace: Trace, router: Router) -> SimResult:
    """Single requests on an idle replica: a sample of the trace, so far apart that none meets another."""
    index = np.unique(np.linspace(0, len(trace) - 1, min(len(trace), _LONE_REQUESTS)).astype(np.int64))
    sample = take(trace, index)
    apart = replace(sample, arrival_s=np.arange(len(sample), dtype=np.float64) * _LONE_GAP_S)
    return runner.fleet(setup, apart, 1, router)


def _delta(cause: str, before: Outcome, after: Outcome) -> CauseDelta:
    return CauseDelta(
        cause=cause,  # type: ignore[arg-type]  # one of the literals by construction
        ttft_mean_s=before.ttft.mean_s - after.ttft.mean_s,
        ttft_p99_s=before.ttft.p99_s - after.ttft.p99_s,
        tpot_mean_s=before.tpot.mean_s - after.tpot.mean_s,
        e2e_mean_s=before.e2e.mean_s - after.e2e.mean_s,
    )


def _of_pool(pools: Sequence[PoolTraffic], index: int) -> str:
    """Which pool is explained, where there are several."""
    if len(pools) == 1:
        return ""
    kind = "merged weights" if pools[index].fine_tuned else "unmerged adapters"
    return f"Of its {len(pools)} pools the busiest, {pools[index].name} ({kind}). "


def _text(deployment: Outcome, base: Outcome, deltas: tuple[CauseDelta, ...]) -> str:
    """The answer to "why is my LoRA slower?" in two or three sentences."""
    ttft, tpot = deployment.ttft.mean_s - base.ttft.mean_s, deployment.tpot.mean_s - base.tpot.mean_s
    head = (
        f"Against the plain base model on the same replicas, mean TTFT is {_ms(base.ttft.mean_s)} -> "
        f"{_ms(deployment.ttft.mean_s)} ({_signed(ttft)}) and mean TPOT {_ms(base.tpot.mean_s)} -> "
        f"{_ms(deployment.tpot.mean_s)} ({_signed(tpot)})."
    )
    if not deltas:
        return f"{head} Merged weights without speculation run exactly as the base does."
    first = max(deltas, key=lambda d: abs(d.ttft_mean_s))
    per_token = max(deltas, key=lambda d: abs(d.tpot_mean_s))
    return (
        f"{head} The largest part of TTFT is {first.cause} ({_signed(first.ttft_mean_s)}), "
        f"of TPOT {per_token.cause} ({_signed(per_token.tpot_mean_s)})."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if abs(seconds) < 1 else f"{seconds:.3g} s"


def _signed(seconds: float) -> str:
    return f"{seconds * 1e3:+.3g} ms" if abs(seconds) < 1 else f"{seconds:+.3g} s"
