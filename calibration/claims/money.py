"""C9: what many variants cost, from measured capacity."""

from __future__ import annotations

import math

import numpy as np

from calibration.claims.bench import Bench
from calibration.claims.result import ClaimResult, Row


def variants(bench: Bench) -> ClaimResult:
    """Replicas that each way needs, priced at one unit an hour; capacities measured on bursts."""
    burst = 6 * bench.setup.limits.max_num_seqs
    base = bench.pair(bench.plain(), bench.trace(float("inf"), 0, count=burst))
    rows: list[Row] = []
    turns = []
    for adapters in (n for n in (4, 16, 64) if n <= len(bench.setup.adapters)):
        slots = min(8, adapters)
        trace = bench.trace(float("inf"), adapters, count=burst)
        pair = bench.pair(bench.with_adapters(adapters, slots), trace)
        shared = pair.value("throughput")
        simulated = pair.simulated.output_tokens_per_s
        for load in (0.1, 1.0, 0.5 * adapters):
            asked = load * base.value("throughput")  # tokens a second, all adapters evenly
            sides = []
            each_alone = base.simulated.output_tokens_per_s, base.value("throughput")
            for pool, alone in zip((simulated, shared), each_alone, strict=True):
                unmerged = math.ceil(asked / pool)
                merged = adapters * math.ceil(asked / adapters / alone)
                sides.append(merged / unmerged)
            rows.append(
                Row(
                    setting=f"{adapters} adapters, load of {load:g} base replicas",
                    figure="price merged / price multi-LoRA",
                    simulated=sides[0],
                    measured=sides[1],
                )
            )
        turns.append((adapters, base.value("throughput") / shared))
    cheap = [row.measured for row in rows if "load of 0.1" in row.setting]
    worst = float(np.max([turn for _, turn in turns]))
    return ClaimResult(
        number="C9",
        claim="Multi-LoRA is efficient for many variants, merging is limited to one model a deployment",
        rows=tuple(rows),
        verdict="holds" if min(cheap) > 1 else "does not hold here",
        why=f"At a tenth of a replica's load merging costs {min(cheap):.0f} to {max(cheap):.0f} times more.",
        stops=(
            f"A multi-LoRA replica carries down to 1/{worst:.2f} of the base's load here, so merging wins "
            "where every adapter fills replicas of its own."
        ),
    )
