"""C5, C6, C8: adapters deployed, merged weights, other tenants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.trace.trace import Trace
from calibration.claims.bench import Bench
from calibration.claims.result import ClaimResult, Row


def deployed(bench: Bench) -> ClaimResult:
    """C5: the same load over more and more adapters; eight slots, all cached; then the cache too small."""
    most = len(bench.setup.adapters)
    slots = min(8, most)
    rate = 0.4 * bench.capacity_rps(bench.with_adapters(slots), slots)
    counts = [count for count in (1, 4, 8, 16, 64) if count <= most]
    rows: list[Row] = []
    first = None
    for count in counts:
        pair = bench.pair(bench.with_adapters(count, min(slots, count)), bench.trace(rate, count))
        first = first or pair
        rows.append(pair.row(f"{count} in use, {min(slots, count)} slots", "ttft p50", first))
    idle = bench.pair(bench.with_adapters(most, 4), bench.trace(rate, 4))
    few = bench.pair(bench.with_adapters(4, 4), bench.trace(rate, 4))
    rows.append(idle.row(f"4 in use of {most} deployed", "ttft p50", few))
    tight = bench.with_adapters(counts[-1], min(slots, counts[-1]), slots)
    small = bench.pair(tight, bench.trace(rate, counts[-1]))
    rows.append(small.row(f"{counts[-1]} in use, {slots} slots, {slots} cached", "ttft p50", first))
    unused = rows[len(counts)].ratio or 1.0
    within = [row.ratio or 1.0 for row, count in zip(rows, counts, strict=False) if count <= slots]
    beyond = [row.ratio or 1.0 for row, count in zip(rows, counts, strict=False) if count > slots]
    return ClaimResult(
        number="C5",
        claim="Performance hardly depends on how many adapters are deployed",
        rows=tuple(rows),
        verdict="holds within limits" if abs(unused - 1) < 0.1 else "does not hold here",
        why=(
            f"Adapters that nobody asks for: {unused:.2f} times. In use, up to the slots: up to "
            f"{max(within):.2f} times one adapter's TTFT; beyond: {max(beyond, default=1.0):.2f} times."
        ),
        stops=(
            f"At {slots} slots: with more adapters in use, requests wait for a slot and loads repeat; with "
            f"a host cache of {slots} they repeat from disk ({rows[-1].ratio or 1.0:.2f} times)."
        ),
    )


def merged(bench: Bench) -> ClaimResult:
    """C6: merged beside base, and the memory of the slots."""
    rate = 0.6 * bench.capacity_rps(bench.plain())
    base = bench.pair(bench.plain(), bench.trace(rate))
    first = next(iter(bench.setup.adapters.values()))
    pair = bench.pair(replace(bench.plain(), merged=first), bench.trace(rate))
    rows = [pair.row("merged", name, base) for name in ("ttft p50", "tpot p50")]
    off = max(abs((row.ratio or 1.0) - 1) for row in rows)
    noise = max(0.05, 1.5 * max(base.spread(name) for name in ("ttft p50", "tpot p50")))
    engine = bench.with_adapters(8).engine()
    slots = engine.slot_bytes
    tokens = slots / (engine.kv_bytes / (bench.setup.options.kv_blocks * 16))
    engine.close()
    return ClaimResult(
        number="C6",
        claim="Merged equals base in latency, and needs less memory",
        rows=tuple(rows),
        verdict="holds" if off <= noise else "does not hold here",
        why=f"{100 * off:.1f} % apart, noise {100 * noise:.1f} %; 8 slots take {slots / 2**20:.1f} MiB.",
        stops=f"Those bytes are {tokens:,.0f} tokens of KV cache: it matters where slots are many or wide.",
    )


def tenants(bench: Bench) -> ClaimResult:
    """C8: one tenant's requests alone, and beside others' traffic on the same replica."""
    most = min(8, len(bench.setup.adapters))
    setup = bench.with_adapters(most)
    rate = 0.15 * bench.capacity_rps(setup, most)
    own = bench.trace(rate, 1)
    rows: list[Row] = []
    alone = bench.pair(setup, own)
    rows.append(alone.row("alone", "ttft p50", alone))
    ratios = []
    for share in (0.35, 0.7):
        other = bench.trace(share / 0.15 * rate, most, seed=1)
        both = _joined(own, other)
        pair = bench.pair(setup, both)
        for name in ("ttft p50", "tpot p50"):
            rows.append(pair.row(f"beside others, {share + 0.15:.0%} of capacity in all", name, alone))
        ratios.append(rows[-1].ratio or 1.0)
    return ClaimResult(
        number="C8",
        claim="Shared serverless is slower than dedicated under load",
        rows=tuple(rows),
        verdict="holds" if min(ratios) > 1.03 else "does not hold here",
        why=f"Time per token {ratios[0]:.2f} times at half load, {ratios[-1]:.2f} at high load.",
        stops="With few others the price is small; a provider adds replicas, here one is shared.",
    )


def _joined(left: Trace, right: Trace) -> Trace:
    """Both in time; names and notes are the second's, which has all adapters."""
    arrival = np.concatenate([left.arrival_s, right.arrival_s])
    order = np.argsort(arrival, kind="stable")
    return replace(
        right,
        arrival_s=arrival[order],
        prompt_tokens=np.concatenate([left.prompt_tokens, right.prompt_tokens])[order],
        output_tokens=np.concatenate([left.output_tokens, right.output_tokens])[order],
        adapter=np.concatenate([left.adapter, right.adapter])[order],
    )
