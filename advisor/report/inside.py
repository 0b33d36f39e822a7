"""What happens inside a deployment, as sections: how latency is distributed, and a replica over time."""

from __future__ import annotations

from advisor.inside.phases import phases_of
from advisor.inside.run import Inside
from advisor.inside.states import states_of
from advisor.plots import inside as plots
from advisor.report.section import Figure, Section
from advisor.tables import units


def distributions(inside: Inside) -> Section:
    """TTFT and TPOT of the deployment beside the plain base's, on the same requests and replicas."""
    counted = int(inside.counts.sum())
    words = (
        f"{units.counted(counted, 'request')} of pool {inside.pool} on "
        f"{units.counted(inside.replicas, 'replica')}, and the same requests to the plain base model."
    )
    figures = tuple(
        Figure(
            f"distribution-{metric}",
            f"{metric.upper()}: the share of requests at or below; left is faster.",
            lambda metric=metric: plots.compared(inside, metric),  # type: ignore[misc]
        )
        for metric in ("ttft", "tpot")
    )
    return Section("distributions", "How latency is distributed", (words,), (), figures)


def timeline(inside: Inside, replica: int, from_s: float, to_s: float) -> tuple[Section, Section]:
    """One replica in a stretch of time: batch and queue, KV cache, adapters, and its requests.

    Args:
        inside: the simulated pool.
        replica: which one.
        from_s: where the stretch begins.
        to_s: where it ends.

    Raises:
        InputError: no such replica, or an empty stretch.
    """
    states = states_of(inside, replica, from_s, to_s)
    phases = phases_of(inside, replica, from_s, to_s)
    limits = inside.setup.limits
    figures = [
        Figure(
            "batch",
            "Requests that run in a step, and that wait. Line: mean; band: least to most.",
            lambda: plots.batch(states, limits.max_num_seqs),
        ),
        Figure(
            "kv-cache",
            f"Of {inside.setup.kv_blocks:,} KV blocks, the share in use at scheduling events.",
            lambda: plots.kv_cache(states),
        ),
    ]
    if limits.max_loras:
        figures.append(
            Figure(
                "adapters",
                "Adapters of the batch, and slots that hold one (another one after a load).",
                lambda: plots.adapters(states, limits.max_loras),
            )
        )
    requests = Figure(
        "requests",
        f"{phases.shown} of {units.counted(phases.requests, 'request')} under way, by arrival"
        + ("; the slowest to their first token are among them." if phases.shown < phases.requests else ".")
        + " The seconds of an adapter's load stand at the end of its wait.",
        lambda: plots.gantt(phases, from_s, to_s),
    )
    title = f"Replica {replica + 1} of {inside.replicas}, {from_s:.4g} s to {to_s:.4g} s"
    result = inside.result
    loads = (
        f"In the whole run, on all replicas: {units.counted(result.loads_to_slot, 'load')} of an adapter to "
        f"a slot and {result.loads_from_disk:,} from disk, {units.duration(result.load_s)} together."
    )
    words = (loads,) if limits.max_loras else ()
    return (
        Section("timeline", title, words, (), tuple(figures)),
        Section("requests", "Its requests", (), (), (requests,)),
    )
