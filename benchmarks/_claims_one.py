"""Claims about one replica: latency, loading, prompts, concurrency, adapters, merging. In tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from advisor.sim.result import SimResult
from advisor.spec.model import adapter_bytes
from advisor.steptime.batch import Batch
from advisor.trace.trace import Trace
from benchmarks._claims_bench import ANSWER_TOKENS, PROMPT_TOKENS, Bench, at_once, p, poisson
from benchmarks._page import table

RATES = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0)


def latency(bench: Bench) -> str:
    """C1: base beside unmerged, 16 adapters in 16 slots, the same requests."""
    rows = []
    for rate in RATES:
        trace = poisson(rate, 16)
        base, lora = bench.base(trace), bench.unmerged(trace, bench.limits())
        cells = [_pair(base, lora, of, scale) for of, scale in ((_ttft, 1e3), (_tpot, 1e3))]
        rows.append((f"{rate:g}", *(cell for pair in cells for cell in pair)))
    head = ("requests/s", "TTFT base, ms", "unmerged", "ratio", "TPOT base, ms", "unmerged", "ratio")
    return table(head, rows)


def _ttft(result: SimResult) -> float:
    return p(result.ttft_s, 50)


def _tpot(result: SimResult) -> float:
    return p(result.tpot_s, 50)


def _pair(
    base: SimResult, lora: SimResult, of: Callable[[SimResult], float], scale: float
) -> tuple[str, ...]:
    before, after = scale * of(base), scale * of(lora)
    return f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}"


def cold_start(bench: Bench) -> str:
    """C2: one request at a time; adapter on disk, in CPU memory, in a slot; and what repeats make of it."""
    rows = []
    for rank in (8, 16, 64):
        limits = bench.limits(slots=1, cached=2, rank=rank)
        trace = _one_by_one((0, 0, 1, 0))  # cold, in its slot, another one comes, back from CPU memory
        cold, slot, _, cpu = (1e3 * bench.unmerged(trace, limits, warm=False).ttft_s).tolist()
        rows.append(
            (
                str(rank),
                *(f"{value:.0f}" for value in (cold, cpu, slot, cold - slot)),
                *(f"{(cold - slot) / n:.1f}" for n in (10, 100)),
            )
        )
    head = (
        "rank",
        "TTFT on disk, ms",
        "in CPU memory",
        "in a slot",
        "load",
        "load over 10 requests",
        "over 100",
    )
    return table(head, rows)


def _one_by_one(adapters: tuple[int, ...]) -> Trace:
    count = len(adapters)
    return Trace(
        arrival_s=np.linspace(0.0, 60.0 * (count - 1), count, dtype=np.float64),
        prompt_tokens=np.full(count, PROMPT_TOKENS, dtype=np.int64),
        output_tokens=np.full(count, ANSWER_TOKENS, dtype=np.int64),
        adapter=np.asarray(adapters, dtype=np.int64),
        adapters=("a", "b"),
    )


def prompts(bench: Bench) -> str:
    """C3: one prompt alone in a step, unmerged over base."""
    lengths = (128, 512, 1024, 2048, 4096, 8192)
    base = bench.variant(adapters=False).clock(bench.limits())
    rows = []
    for rank, slots in ((8, 8), (16, 8), (64, 8), (16, 1), (16, 32), (16, 128)):
        lora = bench.variant(adapters=True).clock(bench.limits(slots=slots, rank=rank))
        ratios = []
        for length in lengths:
            step = Batch(0, 0, ((length, 0),), 1, adapters=1)
            ratios.append(sum(lora.parts(step)) / sum(base.parts(step._replace(adapters=0))) - 1.0)
        rows.append((f"{rank}, {slots}", *(f"{100 * ratio:+.0f} %" for ratio in ratios)))
    return table(("rank, slots", *(f"{length} tokens" for length in lengths)), rows)


def concurrency(bench: Bench) -> str:
    """C4: a decode step of S sequences, adapters even among 32; and a full engine."""
    base = bench.variant(adapters=False).clock(bench.limits())
    lora = bench.variant(adapters=True).clock(bench.limits(slots=32))
    rows = []
    for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        adapters = round(32 * (1 - (31 / 32) ** batch))
        step = Batch(batch, batch * (PROMPT_TOKENS + ANSWER_TOKENS // 2), outputs=batch)
        before, after = sum(base.parts(step)), sum(lora.parts(step._replace(adapters=adapters)))
        cells = (f"{1e3 * before:.1f}", f"{1e3 * after:.1f}", f"{after / before:.2f}")
        rows.append((str(batch), str(adapters), *cells))
    full = table(("sequences", "distinct adapters", "base step, ms", "unmerged", "ratio"), rows)
    lines = []
    before = _throughput(bench.base(at_once(1500, 32)))
    for slots in (4, 8, 16, 32):
        after = _throughput(bench.unmerged(at_once(1500, 32), bench.limits(slots=slots, cached=32)))
        lines.append((str(slots), f"{before:.0f}", f"{after:.0f}", f"{after / before:.2f}"))
    head = ("slots, 1500 requests at once on 32 adapters", "base, answer tokens/s", "unmerged", "ratio")
    return f"{full}\n{table(head, lines)}"


def _throughput(result: SimResult) -> float:
    return float(result.output_tokens.sum() / result.end_s)


def deployed(bench: Bench) -> str:
    """C5: the same load over ever more adapters, all used evenly, 32 slots, all in CPU memory or not."""
    rows = []
    for adapters in (1, 4, 8, 16, 32, 40, 64, 128, 256, 1000):
        trace = poisson(6.0, adapters)
        cells = []
        for cached in (max(adapters, 32), 32):
            result = bench.unmerged(trace, bench.limits(slots=32, cached=cached))
            cells += [f"{1e3 * p(result.ttft_s, 50):.0f} / {1e3 * p(result.ttft_s, 99):.0f}"]
            cells += [f"{1e3 * p(result.tpot_s, 50):.1f}"]
        rows.append((str(adapters), *cells))
    head = (
        "adapters",
        "TTFT p50 / p99, ms, all in CPU memory",
        "TPOT, ms",
        "TTFT, 32 in CPU memory",
        "TPOT, ms",
    )
    used = table(head, rows)
    idle = []
    for adapters in (8, 100, 1000):
        trace = poisson(6.0, 8)
        named = tuple(f"a{index}" for index in range(adapters))
        result = bench.unmerged(
            Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, trace.adapter, named),
            bench.limits(slots=32, cached=max(adapters, 32)),
        )
        idle.append((str(adapters), f"{1e3 * p(result.ttft_s, 50):.1f}", f"{1e3 * p(result.tpot_s, 50):.2f}"))
    few = ("deployed, 8 of them used", "TTFT, ms", "TPOT, ms")
    return f"{used}\n{table(few, idle)}"


def merged(bench: Bench) -> str:
    """C6: merged is the base's engine; what the slots' memory would have been worth."""
    trace = poisson(6.0, 1)
    base, same = bench.base(trace), bench.base(trace, merged="")
    equal = bool(np.array_equal(base.last_token_s, same.last_token_s))
    rows = []
    plain = bench.variant(adapters=True)
    none = bench.variant(adapters=False).memory(bench.limits(slots=0, rank=0)).kv_tokens
    for slots, rank in ((8, 16), (32, 16), (128, 16), (8, 64), (32, 64), (128, 64)):
        plan = plain.memory(bench.limits(slots=slots, rank=rank))
        sequence = PROMPT_TOKENS + ANSWER_TOKENS
        one = adapter_bytes(plain.terms.model, plain.modules, rank) / 2**20
        cells = (f"{one:.0f}", f"{plan.slots_bytes / 2**30:.1f}", f"{plan.kv_tokens / 1000:.0f}")
        rows.append((f"{slots}, {rank}", *cells, f"{(none - plan.kv_tokens) // sequence}"))
    head = ("slots, rank", "one slot, MiB", "all slots, GiB", "KV cache, thousand tokens", "sequences lost")
    word = "equal to the last bit" if equal else "NOT equal"
    return (
        f"Merged and base, {len(trace)} requests: every time stamp is {word}. KV cache without slots: "
        f"{none / 1000:.0f} thousand tokens.\n\n{table(head, rows)}"
    )
