"""C1 to C4: an unmerged adapter beside its base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.trace.trace import Trace
from calibration.claims.bench import Bench, Pair
from calibration.claims.result import ClaimResult, Row, Verdict

_NOISE = 0.03


def same_load(bench: Bench) -> ClaimResult:
    """C1: the same load on both."""
    adapters = min(8, len(bench.setup.adapters))
    rows: list[Row] = []
    ratios = []
    capacity = bench.capacity_rps(bench.with_adapters(adapters), adapters)
    for share in (0.2, 0.6):
        rate = share * capacity
        base = bench.pair(bench.plain(), bench.trace(rate))
        tuned = bench.pair(bench.with_adapters(adapters), bench.trace(rate, adapters))
        for name in ("ttft p50", "tpot p50"):
            rows += [
                base.row(f"base, {rate:.3g} requests/s", name),
                tuned.row(f"{adapters} adapters, {rate:.3g} requests/s", name, base),
            ]
            ratios.append(rows[-1].ratio or 1.0)
    return ClaimResult(
        number="C1",
        claim="An unmerged LoRA is slower than its base",
        rows=tuple(rows),
        verdict="holds" if min(ratios) > 1 + _NOISE else "does not hold here",
        why=f"{min(ratios):.2f} to {max(ratios):.2f} times the base's latency at the same load.",
        stops="Nowhere in the range tried." if min(ratios) > 1 + _NOISE else "Where the ratio is near 1.",
    )


def cold_start(bench: Bench) -> ClaimResult:
    """C2: cold on disk, warm in host memory, warm in a slot; lone requests."""
    kinds = {
        "on disk": replace(bench.with_adapters(8, slots=1, cached=1), preload=()),
        "in host memory": bench.with_adapters(8, slots=1, cached=8),
        "in a slot": bench.with_adapters(8, slots=8),
    }
    pairs: dict[str, Pair] = {}
    for name, setup in kinds.items():
        trace = _apart(bench.trace(1.0, 8, prompt=16, output=2, count=8))
        pairs[name] = bench.pair(setup, trace)
    warm = pairs["in a slot"]
    rows = [pair.row(name, "ttft p50", warm) for name, pair in pairs.items()]
    extra = rows[0].measured - rows[2].measured
    ordered = rows[0].measured > rows[1].measured >= 0.9 * rows[2].measured
    return ClaimResult(
        number="C2",
        claim="The first request of a cold adapter pays a load; repeats amortise it",
        rows=tuple(rows),
        verdict="holds" if ordered and extra > 0 else "does not hold here",
        why=(
            f"A cold adapter adds {extra:.3g} ms to the first token, over 100 requests {extra / 100:.2g} ms "
            "each."
        ),
        stops="Where slots are fewer than the adapters in use, the load is paid again and again (C5).",
    )


def prompts(bench: Bench) -> ClaimResult:
    """C3: a lone request's first token over prompt length."""
    rows: list[Row] = []
    ratios = []
    for length in (16, 64, 192):
        trace = _apart(bench.trace(1.0, 0, prompt=length, output=2, count=8))
        tuned = replace(trace, adapter=trace.adapter * 0, adapters=tuple(bench.setup.adapters)[:1])
        base = bench.pair(bench.plain(), trace)
        pair = bench.pair(bench.with_adapters(1), tuned)
        rows += [
            base.row(f"base, {length} tokens", "ttft p50"),
            pair.row(f"adapter, {length} tokens", "ttft p50", base),
        ]
        ratios.append(rows[-1].ratio or 1.0)
    inside = [1.1 <= ratio <= 1.3 for ratio in ratios]
    verdict: Verdict = "does not hold here"
    if all(inside):
        verdict = "holds"
    elif any(inside):
        verdict = "holds within limits"
    return ClaimResult(
        number="C3",
        claim="Prompt processing takes 10-30 % longer unmerged",
        rows=tuple(rows),
        verdict=verdict,
        why=f"{100 * (min(ratios) - 1):.0f} to {100 * (max(ratios) - 1):.0f} % longer, by prompt length.",
        stops="Short prompts pay the launches of the adapter's small products, long ones only their work.",
    )


def concurrency(bench: Bench) -> ClaimResult:
    """C4: decode overhead over concurrency, and throughput when all requests are there at once."""
    adapters = min(8, len(bench.setup.adapters))
    rows: list[Row] = []
    ratios = []
    for batch in (1, 4, bench.setup.limits.max_num_seqs):
        base = bench.pair(bench.plain(), bench.trace(float("inf"), 0, prompt=8, output=64, count=batch))
        used = min(adapters, batch)
        trace = bench.trace(float("inf"), used, prompt=8, output=64, count=batch)
        tuned = bench.pair(bench.with_adapters(adapters), trace)
        rows.append(tuned.row(f"batch {batch}, {used} adapters", "tpot p50", base))
        ratios.append(rows[-1].ratio or 1.0)
    burst = 6 * bench.setup.limits.max_num_seqs
    base = bench.pair(bench.plain(), bench.trace(float("inf"), 0, count=burst))
    tuned = bench.pair(bench.with_adapters(adapters), bench.trace(float("inf"), adapters, count=burst))
    rows.append(tuned.row("all at once", "throughput", base))
    lower = (rows[-1].ratio or 1.0) < 1 - _NOISE
    grows = ratios[-1] > ratios[0] + _NOISE
    return ClaimResult(
        number="C4",
        claim="The decode overhead grows with concurrency; maximum throughput is lower",
        rows=tuple(rows),
        verdict="holds" if lower and grows else "holds within limits" if lower else "does not hold here",
        why=(
            f"TPOT {ratios[0]:.2f} times the base's alone, {ratios[-1]:.2f} at the largest batch; throughput "
            f"{rows[-1].ratio or 1.0:.2f} times the base's."
        ),
        stops="Overhead grows with distinct adapters in a step; once all are there, more sequences share it.",
    )


def _apart(trace: Trace) -> Trace:
    """Requests so far apart that none meets another."""
    return replace(trace, arrival_s=_GAP_S * np.arange(len(trace), dtype=np.float64))


_GAP_S = 0.15
