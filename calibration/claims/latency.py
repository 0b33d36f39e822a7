"""C1 and C4: unmerged beside its base, at the same load and at the same batch."""

from __future__ import annotations

from typing import Final

import numpy as np

from calibration.claims.bench import Bench, Runs, Side, compare, ratios, rps, to_base, tpot_ms, ttft_ms
from calibration.claims.result import Outcome, Row, row
from calibration.claims.verdict import Rule, above, below, outcome

_LOADS: Final = (0.15, 0.4, 0.7)
_SMALL: Final = 1.15
"""What "small" overhead means: at most 15 %."""


def same_load(bench: Bench) -> Outcome:
    """C1: TTFT and TPOT, base beside unmerged, at three loads."""
    adapters = bench.slots
    tuned, plain = bench.unmerged(adapters), bench.plain()
    capacity = bench.capacity_rps(tuned, adapters)
    rows: list[Row] = []
    for load in _LOADS:
        trace = bench.poisson(load * capacity, adapters, bench.replay_s(2 * len(_LOADS)))
        found = bench.runs({"base": Side(plain, to_base(trace)), "unmerged": Side(tuned, trace)})
        base, unmerged = ("base", found["base"]), ("unmerged", found["unmerged"])
        setting, rate = f"{load:.0%} load", load * capacity
        rows += compare(setting, ("TTFT", ttft_ms), base, unmerged, x=rate)
        rows += compare(setting, ("TPOT", tpot_ms), base, unmerged, x=rate)
    ttft, tpot = ratios(rows, "TTFT ratio"), ratios(rows, "TPOT ratio")
    least = min((*ttft, *tpot), key=lambda one: one.measured)
    stops = f"The ratio is smallest at {least.setting} ({least.figure} {least.measured:.2f})"
    return outcome(
        rows,
        lambda _row: above(1.0),
        why=(
            f"{adapters} adapters of rank {bench.rank}: TTFT {_range(ttft)}, TPOT {_range(tpot)} times the "
            "base's at the same load."
        ),
        where_it_stops=f"{stops}{'.' if least.low > 1 else ', within the noise of the repeats.'}",
        x_title="requests a second",
    )


def concurrency(bench: Bench) -> Outcome:
    """C4: TPOT ratio over sequences in a step, and throughput when all requests are there at once."""
    sizes = [n for n in (1, 2, 4, 8, 16) if n <= bench.setup.limits.max_num_seqs]
    share_s = bench.replay_s(2 * len(sizes) + 6)
    rows: list[Row] = []
    first: list[float] = []
    for size in sizes:
        used = min(size, bench.slots)
        trace = bench.waves(size, used, 64, 8, share_s)
        sides = {"base": Side(bench.plain(), to_base(trace)), "unmerged": Side(bench.unmerged(used), trace)}
        found = bench.runs(sides)
        plural = "s" if used > 1 else ""
        setting = f"batch {size}, {used} adapter{plural}"
        rows += compare(
            setting, ("TPOT", tpot_ms), ("base", found["base"]), ("unmerged", found["unmerged"]), x=size
        )
        rows[-1] = rows[-1].model_copy(update={"judged": size == 1})
        first = first or _ratios(found)
        if size > 1:
            growth = [now / then for now, then in zip(_ratios(found), first, strict=True)]
            said = rows[-1].simulated / rows[2].simulated
            rows.append(row(setting, "TPOT ratio over that of 1 sequence", said, growth, x=size, judged=True))
    rows += _saturation(bench, 3 * share_s)
    return outcome(rows, _rule, where_it_stops=_turn(rows), why=_why(rows), x_title="sequences in a step")


def _ratios(found: dict[str, Runs]) -> list[float]:
    base, tuned = found["base"].of(tpot_ms)[1], found["unmerged"].of(tpot_ms)[1]
    return [b / a for a, b in zip(base, tuned, strict=True)]


def _saturation(bench: Bench, seconds: float) -> list[Row]:
    tuned = bench.unmerged(bench.slots)
    count = max(32, round(seconds * bench.capacity_rps(tuned, bench.slots)))
    trace = bench.at_once(count, bench.slots)
    found = bench.runs({"base": Side(bench.plain(), to_base(trace)), "unmerged": Side(tuned, trace)})
    base, unmerged = ("base", found["base"]), ("unmerged", found["unmerged"])
    return compare("all at once", ("throughput", rps), base, unmerged, unit="requests/s")


def _rule(one: Row) -> Rule | None:
    if one.figure == "throughput ratio":
        return below(1.0)
    return below(_SMALL) if one.figure == "TPOT ratio" else above(1.0)


def _why(rows: list[Row]) -> str:
    alone = next(one for one in rows if one.figure == "TPOT ratio")
    last = [one for one in rows if one.figure == "TPOT ratio"][-1]
    full = rows[-1]
    return (
        f"TPOT {alone.measured:.2f} times the base's with one sequence (small: up to {_SMALL:g}), "
        f"{last.measured:.2f} at {last.setting}; saturated throughput {full.measured:.2f} times the base's."
    )


def _turn(rows: list[Row]) -> str:
    """Where the ratio is largest: beyond it, it grows no more."""
    found = [one for one in rows if one.figure == "TPOT ratio"]
    top = found[int(np.argmax([one.measured for one in found]))]
    if top is found[-1]:
        return f"Not within {top.setting}: the ratio is still largest there, {top.measured:.2f}."
    last = found[-1]
    return (
        f"The ratio is largest at {top.setting}, {top.measured:.2f}, and {last.measured:.2f} at "
        f"{last.setting}: once all adapters are in a step, further sequences cost the base "
        "something and the adapters little."
    )


def _range(rows: list[Row]) -> str:
    values = [one.measured for one in rows]
    return f"{min(values):.2f} to {max(values):.2f}"
