"""Why: what differs from the base, where time goes, knee, slots, memory, and how sure each term is."""

from __future__ import annotations

import math
from typing import Final

from advisor.recommendation import (
    Explanation,
    Knee,
    MemoryPlan,
    Outcome,
    Recommendation,
    SlotSweep,
    TermOrigin,
    Turn,
    cause_word,
)
from advisor.tables.ranking import limit_name, named
from advisor.tables.table import Cell, Column, Mark, Table


def differences(why: Explanation) -> Table:
    """From the base to the deployment, cause by cause; the rows add up."""
    base, own = why.base, why.deployment
    rows: list[tuple[Cell, ...]] = [
        ("base model", base.ttft.mean_s, base.ttft.p99_s, base.tpot.mean_s, base.e2e.mean_s)
    ]
    rows += [(f"+ {d.cause}", d.ttft_mean_s, d.ttft_p99_s, d.tpot_mean_s, d.e2e_mean_s) for d in why.deltas]
    rows += [("= this deployment", own.ttft.mean_s, own.ttft.p99_s, own.tpot.mean_s, own.e2e.mean_s)]
    between: list[Mark] = [""] * len(why.deltas)
    return Table(
        "differences",
        "From the base model to this deployment on the same replicas, in ms; each row is found by switching "
        "its cause off.",
        (
            Column("cause"),
            Column("TTFT mean", "ms"),
            Column("TTFT p99", "ms"),
            Column("TPOT mean", "ms"),
            Column("E2E mean", "ms", weight=1),
        ),
        tuple(rows),
        ("reference", *between, "total"),
    )


def causes(base: Outcome | None, own: Outcome) -> Table:
    """Mean milliseconds by cause, to the first token and from there to the last, base beside deployment."""
    both = (*((base,) if base else ()), own)
    names = ("base", "this")[2 - len(both) :]
    columns = [Column("where time goes")]
    columns += [Column(name, "ms", "to the first token") for name in names]
    columns += [Column(name, "ms", "first to last token") for name in names]
    rows: list[tuple[Cell, ...]] = []
    for cause in own.ttft_causes_s:
        cells = [out.ttft_causes_s.get(cause, 0.0) for out in both]
        cells += [out.decode_causes_s.get(cause, 0.0) for out in both]
        if any(cells):
            rows.append((cause_word(cause), *cells))
    total: tuple[Cell, ...] = (
        "together",
        *(math.fsum(out.ttft_causes_s.values()) for out in both),
        *(math.fsum(out.decode_causes_s.values()) for out in both),
    )
    return Table(
        "causes",
        "Mean milliseconds of one request by cause.",
        tuple(columns),
        (*rows, total),
        (*("",) * len(rows), "total"),  # type: ignore[arg-type]
    )


def knee(curve: Knee) -> Table:
    """Load against latency, replicas as they are: what the limits ask for, and p99 beside it."""
    asked = [limit for limit in curve.limits if limit.metric != "goodput" and limit_name(limit) not in _P99]
    rows = zip(
        curve.load,
        curve.rate_rps,
        *(limit.value for limit in asked),
        curve.ttft_p99_s,
        curve.tpot_p99_s,
        curve.goodput_share,
        strict=True,
    )
    return Table(
        "knee",
        "What more (or less) load does to the recommended deployment, replicas as they are.",
        (
            Column("load", "times"),
            Column("rate", "number", unit="req/s"),
            *(Column(limit_name(limit), "ms") for limit in asked),
            Column("TTFT p99", "ms"),
            Column("TPOT p99", "ms"),
            Column("goodput", "share"),
        ),
        tuple(rows),
        tuple("total" if load == 1 else "" for load in curve.load),
    )


_P99: Final = ("TTFT p99", "TPOT p99")


def slots(sweep: SlotSweep) -> Table:
    """Effect of max_loras on one replica."""
    rows = zip(sweep.max_loras, sweep.ttft_p99_s, sweep.tpot_mean_s, sweep.kv_tokens, strict=True)
    return Table(
        "slots",
        "What max_loras does to one replica at its share of the load; the chosen one is marked.",
        (
            Column("max_loras", "count"),
            Column("TTFT p99", "ms"),
            Column("TPOT mean", "ms"),
            Column("KV cache", "count", unit="tokens"),
        ),
        tuple(rows),
        tuple("recommended" if value == sweep.chosen else "" for value in sweep.max_loras),
    )


def memory_parts(plan: MemoryPlan) -> tuple[tuple[str, float], ...]:
    """Parts of the device memory in bytes, in the order in which they are taken; together the device."""
    return (
        ("weights", plan.weights_bytes),
        ("engine overhead", plan.overhead_bytes),
        ("adapter slots", plan.slots_bytes),
        ("draft model", plan.draft_bytes),
        ("KV cache", max(0.0, plan.kv_bytes)),
        ("not given to the engine", plan.device_bytes - plan.usable_bytes),
    )


def memory(plan: MemoryPlan) -> Table:
    """Device memory of one replica, on each of its devices."""
    rows: list[tuple[Cell, ...]] = [
        (name, size, size / plan.device_bytes) for name, size in memory_parts(plan) if size
    ]
    rows.append(("device", plan.device_bytes, 1.0))
    return Table(
        "memory",
        f"Memory of one device; the KV cache holds {plan.kv_tokens:,} tokens.",
        (Column("part"), Column("size", "gib"), Column("share", "share")),
        tuple(rows),
        (*("",) * (len(rows) - 1), "total"),  # type: ignore[arg-type]
    )


def turns(rec: Recommendation, changes: tuple[Turn, ...]) -> Table:
    """What the advice would be if an input changed."""
    rows = tuple(
        (t.what, t.value, "turns" if t.turns else "stands", named(rec, t.recommended), t.usd_per_hour)
        for t in changes
    )
    return Table(
        "turns",
        "What would turn the advice.",
        (Column("if"), Column("were"), Column("the advice"), Column("to"), Column("$/h", "usd")),
        rows,
        tuple("bad" if t.turns else "" for t in changes),
    )


def terms(origins: tuple[TermOrigin, ...]) -> Table:
    """Where each term of the step time comes from, the heaviest first."""
    ordered = sorted(origins, key=lambda term: -term.share_of_busy_time)
    return Table(
        "terms",
        "Terms of the step time: share of the busy time here, origin, and the interval that holds the truth "
        "with about 90 % (as a factor).",
        (
            Column("term"),
            Column("busy time", "share"),
            Column("figure is"),
            Column("from", "number", "interval", unit="×"),
            Column("to", "number", "interval", unit="×"),
            Column("source", weight=1, cut=True),
        ),
        tuple(
            (cause_word(t.term), t.share_of_busy_time, t.origin.value, *t.interval, t.source) for t in ordered
        ),
    )
