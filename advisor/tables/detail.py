"""The traffic, and one option in detail: its pools, its settings, what it did."""

from __future__ import annotations

from advisor.recommendation import Option, Outcome, WorkloadFacts, draft_length_words
from advisor.tables import units
from advisor.tables.ranking import draft_label
from advisor.tables.table import Cell, Column, Table


def workload(facts: WorkloadFacts) -> Table:
    """What the advice was computed for."""
    rows = (
        ("requests simulated", units.count(facts.requests)),
        ("load", f"{units.significant(facts.rate_rps)} requests/s"),
        (
            "prompt",
            _length(facts.prompt_tokens_mean, facts.prompt_tokens_p99),
        ),
        (
            "answer",
            _length(facts.output_tokens_mean, facts.output_tokens_p99),
        ),
        ("adapters", f"{facts.adapters_deployed:,} deployed, {facts.adapters_active:,} asked for"),
        ("hottest adapter", f"{units.share(facts.top_adapter_share)} % of the requests"),
    )
    return Table("workload", "The traffic that was simulated.", (Column("traffic"), Column("value")), rows)


def _length(mean: float, p99: float) -> str:
    return f"{units.count(mean)} tokens on average, p99 {units.count(p99)}"


def pools(option: Option) -> Table:
    """The pools of an option: who is served where. Long lists are cut to the busiest."""
    busiest = sorted(option.pools, key=lambda pool: -pool.share_of_requests)
    return Table(
        "pools",
        "Pools of replicas, busiest first.",
        (
            Column("pool"),
            Column("adapters", "count"),
            Column("replicas", "count"),
            Column("devices", "count"),
            Column("share of requests", "share"),
        ),
        tuple((p.name, len(p.adapters), p.replicas, p.devices, p.share_of_requests) for p in busiest),
    )


def settings(option: Option) -> Table:
    """The engine's knobs of an option, by vLLM's names."""
    limits = option.limits
    rows: list[tuple[Cell, ...]] = [("engine", f"{option.engine} {option.engine_version}")]
    if limits is not None:
        if limits.max_loras:
            rows += [("max_loras", str(limits.max_loras)), ("max_cpu_loras", str(limits.max_cpu_loras))]
            rows += [("max_lora_rank", str(limits.max_lora_rank))]
        rows += [("max_num_seqs", str(limits.max_num_seqs))]
        rows += [("max_num_batched_tokens", str(limits.max_num_batched_tokens))]
    rows += [
        ("gpu_memory_utilization", f"{option.memory_share:g}"),
        ("tensor_parallel_size", str(option.tensor_parallel)),
    ]
    if option.speculation is not None:
        spec = option.speculation
        rows += [
            ("speculation", f"{draft_label(spec)}, {draft_length_words(spec)}, {spec.model or 'no model'}")
        ]
        ours, base = spec.adapter_tokens_per_step, spec.base_tokens_per_step
        rows += [("tokens a verify step", f"{ours:.2f} ({spec.origin.value}), of the base {base:.2f}")]
    rows += [
        ("router", option.router),
        ("replicas", f"{option.replicas} ({units.counted(option.devices, 'device')})"),
    ]
    return Table(
        "settings",
        "The engine's settings by vLLM's names, and how many of it.",
        (Column("setting"), Column("value")),
        tuple(rows),
    )


def outcome(out: Outcome) -> Table:
    """Distribution of every latency of one deployment."""
    rows = tuple(
        (name, p.mean_s, p.p50_s, p.p90_s, p.p95_s, p.p99_s)
        for name, p in (("TTFT", out.ttft), ("TPOT", out.tpot), ("ITL", out.itl), ("E2E", out.e2e))
    )
    heads = ("mean", "p50", "p90", "p95", "p99")
    return Table(
        "latency",
        "Latency over the counted requests, in ms.",
        (Column("latency"), *(Column(head, "ms") for head in heads)),
        rows,
    )
