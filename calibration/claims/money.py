"""C9: what many variants cost, merged (replicas of its own for each) or on a multi-LoRA pool.

replicas merged      adapters · ceil(load / adapters / capacity of a merged replica)
replicas multi-LoRA  ceil(load / capacity of a pool replica with so many adapters)
cost                 replicas · price per hour / answer tokens an hour

Capacity is the throughput of a burst: what latency that gives is not asked here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from calibration.claims.bench import ANSWER_TOKENS, Bench, Side, rps, to_base
from calibration.claims.result import Outcome, Row, row
from calibration.claims.verdict import above, outcome

_LOADS: Final = (0.1, 0.5, 2.0, 8.0, 32.0)
"""In merged replicas' measured capacities."""


def variants(bench: Bench) -> Outcome:
    """Capacity of one merged replica and of pools, then the cost over adapters and load."""
    slots = bench.slots
    counts = sorted({n for n in (slots // 4, slots, 4 * slots, bench.most) if 1 <= n <= bench.most})
    share_s = bench.replay_s(1 + len(counts))
    burst = max(32, round(share_s * bench.capacity_rps(bench.unmerged(slots), slots)))
    sides = {"merged": Side(bench.merged(), to_base(bench.at_once(burst, 0)))}
    sides |= {f"{n} adapters": Side(bench.unmerged(n), bench.at_once(burst, n)) for n in counts}
    found = {name: runs.of(rps) for name, runs in bench.runs(sides).items()}
    rows = [
        row(name, "capacity of a replica", said, seen, unit="requests/s")
        for name, (said, seen) in found.items()
    ]
    middle = rows[0].measured
    for adapters in counts:
        for load in _LOADS:
            pool = found[f"{adapters} adapters"]
            rows += _costs(
                bench, (adapters, load * middle), found["merged"], pool, f"{load:g} replicas' load"
            )
    return outcome(
        rows,
        lambda _row: above(1.0),
        why=_why(rows, counts),
        where_it_stops=_stops(rows, counts),
        x_title="requests a second, all adapters together",
    )


def _costs(
    bench: Bench,
    asked: tuple[int, float],
    merged: tuple[float, Sequence[float]],
    pool: tuple[float, Sequence[float]],
    words: str,
) -> list[Row]:
    adapters, load_rps = asked
    per_replica = bench.price_per_hour / (load_rps * ANSWER_TOKENS * 3600.0) * 1e6
    alone = [adapters * replicas(load_rps / adapters, value) for value in (merged[0], *merged[1])]
    shared = [replicas(load_rps, value) for value in (pool[0], *pool[1])]
    setting = f"{adapters} adapters, {words}"
    rows = []
    for name, counts in (("merged", alone), ("multi-LoRA", shared)):
        costs = [count * per_replica for count in counts]
        rows.append(row(setting, f"{name}, $ per million tokens", costs[0], costs[1:], unit="$"))
    ratio = [a / b for a, b in zip(alone, shared, strict=True)]
    figure = f"cost merged / multi-LoRA, {adapters} adapters"
    return [*rows, row(setting, figure, ratio[0], ratio[1:], x=load_rps, judged=True)]


def replicas(load_rps: float, capacity_rps: float) -> int:
    """How many carry the load."""
    return max(1, math.ceil(load_rps / capacity_rps))


def _why(rows: Sequence[Row], counts: Sequence[int]) -> str:
    low = [one for one in rows if one.judged and one.setting.endswith(f"{_LOADS[0]:g} replicas' load")]
    said = ", ".join(f"{one.measured:.0f} with {n} adapters" for one, n in zip(low, counts, strict=True))
    pools = [one for one in rows if one.figure == "capacity of a replica"]
    return (
        f"At {_LOADS[0]:g} of a replica's load merging costs more by about the number of adapters "
        f"({said}); a pool replica carries {pools[-1].measured / pools[0].measured:.2f} of a "
        "merged one's load with "
        f"{counts[-1]} adapters."
    )


def _stops(rows: Sequence[Row], counts: Sequence[int]) -> str:
    said = []
    for count in counts:
        mine = [one for one in rows if one.judged and one.figure.endswith(f" {count} adapters")]
        lost = next((one for one in mine if one.measured <= 1.0), None)
        where = f"from {lost.x:.0f} requests/s" if lost is not None else f"not up to {mine[-1].x:.0f}"
        said.append(f"{count} adapters: {where}")
    return f"Merging costs no more, or less, where each adapter fills replicas of its own: {'; '.join(said)}."
