"""Claims about drafts, other tenants and money. Each returns its tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from advisor.catalog.acceptance import default_acceptance, shifted
from advisor.catalog.prices import price_of
from advisor.sim.result import SimResult
from advisor.steptime.batch import Batch
from advisor.trace.trace import Trace
from benchmarks._claims_bench import ANSWER_TOKENS, PROMPT_TOKENS, Bench, drafting, p, poisson
from benchmarks._page import table

DRAFT_LENGTH = 3
TTFT_S, TPOT_S = 1.0, 0.04
"""Limits at p95 for the capacity of a replica: a chat that reads faster than a person."""


def speculation(bench: Bench) -> str:
    """C7: a merged fine-tune without drafts, with an untouched EAGLE-3 head, with one trained for it."""
    known = default_acceptance("eagle3")
    heads = {
        "custom head (acceptance of the base)": known,
        "stock head, light shift": shifted(known, "eagle3", "light"),
        "stock head, domain shift": shifted(known, "eagle3", "domain"),
        "stock head, heavy shift": shifted(known, "eagle3", "heavy"),
    }
    rates = (0.5, 2.0, 4.0, 8.0, 12.0, 16.0)
    traces = [poisson(rate, 1) for rate in rates]
    plain = [1e3 * p(bench.base(trace).tpot_s, 50) for trace in traces]
    rows = [("no draft", "1.00", *(f"{tpot:.1f}" for tpot in plain), "")]
    for name, acceptance in heads.items():
        draft = drafting(bench, acceptance, DRAFT_LENGTH)
        tpots = [1e3 * p(bench.base(trace, drafting=draft, merged="").tpot_s, 50) for trace in traces]
        tau = acceptance.tokens_per_step(DRAFT_LENGTH)
        rows.append((name, f"{tau:.2f}", *(f"{tpot:.1f}" for tpot in tpots), _last_paying_batch(bench, tau)))
    head = (
        f"TPOT p50, ms, {DRAFT_LENGTH} drafts",
        "tokens a verify step",
        *(f"{rate:g} requests/s" for rate in rates),
        "pays up to a batch of",
    )
    return table(head, rows)


def _last_paying_batch(bench: Bench, tau: float) -> str:
    """Largest batch whose verify step costs less than τ plain ones, at this bench's context."""
    known = default_acceptance("eagle3")
    variant = bench.variant(adapters=False, drafting=drafting(bench, known, DRAFT_LENGTH))
    clock = variant.clock(bench.limits())
    context = PROMPT_TOKENS + ANSWER_TOKENS // 2
    most = min(bench.limits().max_num_seqs, 512)
    paying = 0
    for batch in (*range(1, 33), *range(40, most + 1, 8)):
        step = Batch(batch, batch * context, outputs=batch)
        verify = step._replace(outputs=batch * (DRAFT_LENGTH + 1), draft_length=DRAFT_LENGTH)
        if sum(clock.parts(verify)) >= tau * sum(clock.parts(step)):
            return str(paying) if paying else "none"
        paying = batch
    return f"{most} and more"


def tenants(bench: Bench) -> str:
    """C8: half a request a second to one adapter, alone and beside other tenants' on the same replica."""
    own = poisson(0.5, 1, seconds=600.0)
    alone = bench.base(own)
    rows = [("dedicated, merged", *_felt(alone, np.ones(len(own), dtype=np.bool_)))]
    for rate in (0.0, 2.0, 4.0, 8.0, 12.0, 16.0):
        trace, mine = _beside(own, rate)
        rows.append(
            (
                f"shared, others {rate:g} requests/s",
                *_felt(bench.unmerged(trace, bench.limits(slots=32)), mine),
            )
        )
    return table(("own requests", "TTFT p50, ms", "TTFT p99, ms", "TPOT p50, ms", "TPOT p99, ms"), rows)


def _beside(own: Trace, rate_rps: float) -> tuple[Trace, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """The own requests and those of 31 other tenants, in the order of arrival; and which are the own ones."""
    others = poisson(rate_rps, 31, seconds=600.0, seed=7)
    arrival_s = np.concatenate([own.arrival_s, others.arrival_s])
    order = np.argsort(arrival_s, kind="stable")
    adapter = np.concatenate([own.adapter, others.adapter + 1])[order]
    trace = Trace(
        arrival_s=arrival_s[order],
        prompt_tokens=np.full(len(order), PROMPT_TOKENS, dtype=np.int64),
        output_tokens=np.full(len(order), ANSWER_TOKENS, dtype=np.int64),
        adapter=adapter,
        adapters=tuple(f"a{index}" for index in range(32)),
    )
    return trace, adapter == 0


def _felt(result: SimResult, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[str, ...]:
    ttft, tpot = 1e3 * result.ttft_s[mine], 1e3 * result.tpot_s[mine]
    return tuple(f"{p(column, percent):.1f}" for column in (ttft, tpot) for percent in (50, 99))


def money(bench: Bench) -> str:
    """C9: $ per million answer tokens of both, and the capacity that decides it."""
    price = price_of(bench.profile.device)
    base = _capacity(bench.base, 1)
    pools = {count: _pool_capacity(bench, count) for count in (1, 2, 4, 8, 16, 64)}
    loads = (1.0, 4.0, 16.0, 64.0, 256.0)
    rows = []
    for count, capacity in pools.items():
        cells = []
        for load in loads:
            merged = count * max(1, math.ceil(load / count / base))
            shared = math.ceil(load / capacity)
            per_million = price.usd_per_hour / (3600.0 * load * ANSWER_TOKENS) * 1e6
            cells.append(f"{merged * per_million:.2f} / {shared * per_million:.2f}")
        rows.append((str(count), f"{capacity:.1f}", *cells))
    head = ("adapters", "requests/s of a pool replica", *(f"{load:g} requests/s in all" for load in loads))
    return (
        f"Merged / multi-LoRA, $ per million answer tokens at {price.usd_per_hour:g} $/hour "
        f"({price.provider}, {price.date}). A merged replica holds {base:.1f} requests/s with TTFT p95 ≤ "
        f"{TTFT_S:g} s and TPOT p95 ≤ {1e3 * TPOT_S:g} ms.\n\n{table(head, rows)}"
    )


def _pool_capacity(bench: Bench, adapters: int) -> float:
    """With the better of a few slot counts."""
    counts = sorted({min(slots, adapters) for slots in (4, 8, 16, 32, 64)})
    caps = []
    for slots in counts:
        serve = partial(bench.unmerged, limits=bench.limits(slots=slots, cached=adapters))
        caps.append(_capacity(serve, adapters))
    return max(caps)


def _capacity(serve: Callable[[Trace], SimResult], adapters: int) -> float:
    """Largest rate, to a twentieth, at which both limits hold."""

    @lru_cache
    def holds(twentieths: int) -> bool:
        result = serve(poisson(twentieths / 20.0, adapters, seconds=200.0))
        return p(result.ttft_s, 95) <= TTFT_S and p(result.tpot_s, 95) <= TPOT_S

    low, high = 1, 1000
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low / 20.0
