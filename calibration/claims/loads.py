"""C2 and C5: what an adapter costs that is not yet in a slot, and what many deployed ones cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from advisor.trace.trace import Trace
from calibration.claims.bench import Bench, Runs, Side, compare, tpot_ms, ttft_ms, ttft_p90_ms
from calibration.claims.result import Outcome, Row, row
from calibration.claims.verdict import Rule, above, below, outcome, within

_ROUND: Final = 4  # requests: x from disk, x in the slot, y from disk, x from host memory
_ADAPTERS: Final = 6
_FREE: Final = 0.05
"""Amortised: a load shared by a hundred requests is at most this share of a warm TTFT."""
_SAME: Final = 1.1
"""Hardly depends: within 10 % of one adapter's."""
_LOAD: Final = 0.4


def cold_start(bench: Bench) -> Outcome:
    """C2: TTFT of lone requests, adapter on disk (in the page cache), in host memory, in a slot."""
    rows: list[Row] = []
    for rank in bench.ranks:
        setup = replace(bench.unmerged(_ADAPTERS, rank=rank, slots=1, cached=2), preload=())
        trace = _rounds(bench, bench.replay_s(len(bench.ranks)))
        found = bench.runs({"one": Side(setup, trace)})["one"]
        rows += _places(found, len(trace), f"rank {rank}")
    disk = [one for one in rows if one.figure == "load from disk"]
    host = [one for one in rows if one.figure == "load from host memory"]
    shares = [one for one in rows if one.figure.endswith("over 100 requests")]
    low, high = _ends(disk)
    return outcome(
        rows,
        _cold_rule,
        why=(
            f"The first request pays {low:.2g} to {high:.2g} ms from disk (rank {bench.ranks[0]} to "
            f"{bench.ranks[-1]}), "
            "{:.2g} to {:.2g} ms from host memory; ".format(*_ends(host))
            + f"over 100 requests at most {100 * _ends(shares)[1]:.1f} % of a warm TTFT each."
        ),
        where_it_stops=(
            f"An adapter that is used fewer than {_repeats(rows)} times between two loads from disk does not "
            f"bring the load below {100 * _FREE:.0f} % of a warm TTFT (rank {bench.ranks[-1]}); where slots "
            "are fewer than adapters in use it is paid again and again (C5). Files come from the page cache "
            "here; a real disk takes longer."
        ),
    )


def _rounds(bench: Bench, seconds: float) -> Trace:
    """One slot, two adapters in host memory, six in turn: where each request finds its adapter is known."""
    one = replace(bench.at_once(1, 1), output_tokens=np.ones(1, dtype=np.int64))
    slowest = replace(bench.unmerged(1, rank=bench.ranks[-1], slots=1), preload=())
    gap_s = 2.0 * float(np.nanmax(bench.predicted(Side(slowest, one)).last_token_s)) + 0.01
    # Whole turns through the adapters: the next repeat finds those of its first round on disk again.
    turn = _ROUND * _ADAPTERS // 2
    count = turn * int(np.clip(seconds / gap_s / turn, 2, 14))
    number = np.arange(count)
    first = 2 * (number // _ROUND)
    adapter = (first + (number % _ROUND == 2)) % _ADAPTERS
    return replace(
        one,
        arrival_s=gap_s * number.astype(np.float64),
        prompt_tokens=np.full(count, 16, dtype=np.int64),
        output_tokens=np.ones(count, dtype=np.int64),
        adapter=adapter.astype(np.int64),
        adapters=tuple(bench.setup.adapters)[:_ADAPTERS],
    )


def _places(found: Runs, count: int, setting: str) -> list[Row]:
    """TTFT by where the adapter was, and what it adds to that of one in a slot; the first round warms up."""
    place, counts = np.arange(count) % _ROUND, np.arange(count) >= _ROUND
    masks = {"in a slot": place == 1, "in host memory": place == 3, "on disk": (place == 0) | (place == 2)}
    said, seen = {}, {}
    rows = []
    for name, mask in masks.items():
        said[name], seen[name] = Runs(found.simulated, found.measured, mask & counts).of(ttft_ms)
        rows.append(row(setting, f"TTFT, adapter {name}", said[name], seen[name], unit="ms"))
    warm = said["in a slot"]
    for name, where in (("host memory", "in host memory"), ("disk", "on disk")):
        extra = [a - b for a, b in zip(seen[where], seen["in a slot"], strict=True)]
        rows.append(row(setting, f"load from {name}", said[where] - warm, extra, unit="ms", judged=True))
    shares = [0.01 * (cold / base - 1) for cold, base in zip(seen["on disk"], seen["in a slot"], strict=True)]
    simulated = 0.01 * (said["on disk"] / warm - 1)
    rows.append(row(setting, "load over a warm TTFT, over 100 requests", simulated, shares, judged=True))
    return rows


def _cold_rule(one: Row) -> Rule | None:
    return below(_FREE) if one.figure.endswith("over 100 requests") else above(0.0)


def _ends(rows: list[Row]) -> tuple[float, float]:
    values = [one.measured for one in rows]
    return min(values), max(values)


def _repeats(rows: list[Row]) -> int:
    """Requests over which the largest rank's load from disk is amortised."""
    share = 100 * rows[-1].measured
    return max(1, int(np.ceil(share / _FREE)))


def deployed(bench: Bench) -> Outcome:
    """C5: the same load over more and more adapters; then adapters that nobody asks for."""
    most, slots = bench.most, bench.slots
    counts = sorted({n for n in (1, slots // 2, slots, 2 * slots, 4 * slots, most) if 1 <= n <= most})
    cached = 2 * slots
    rate = _LOAD * bench.capacity_rps(bench.unmerged(slots), slots)
    share_s = bench.replay_s(len(counts) + 2)
    sides = {}
    for used in counts:
        sides[f"{used} in use"] = Side(
            bench.unmerged(most, used=used, cached=cached), bench.poisson(rate, used, share_s)
        )
    few = bench.poisson(rate, slots, share_s)
    sides["no others"] = Side(bench.unmerged(slots, cached=cached), few)
    sides["others idle"] = Side(bench.unmerged(most, used=slots, cached=cached), few)
    found = bench.runs(sides)
    rows: list[Row] = []
    for used in counts[1:]:
        setting = f"{used} in use"
        pair = ("1 in use", found["1 in use"]), ("here", found[setting])
        for figure in (("TTFT p90", ttft_p90_ms), ("TPOT", tpot_ms)):
            rows += compare(setting, figure, *pair, x=used)
    setting = f"{slots} in use, {most} deployed"
    pair = (f"{slots} deployed", found["no others"]), (f"{most} deployed", found["others idle"])
    for figure in (("TTFT p90, idle", ttft_p90_ms), ("TPOT, idle", tpot_ms)):
        rows += compare(setting, figure, *pair)
    return outcome(
        rows,
        lambda _row: within(1 / _SAME, _SAME),
        why=_why(rows, slots, most),
        where_it_stops=_stops(rows, slots, cached),
        x_title=f"adapters in use ({slots} slots, {cached} in host memory)",
    )


def _why(rows: list[Row], slots: int, most: int) -> str:
    idle = [one for one in rows if one.judged and "idle" in one.figure]
    last = [one for one in rows if one.judged and one.setting == f"{most} in use"]
    inside = [one for one in rows if one.judged and one.setting == f"{slots} in use"]
    return (
        f"{most - slots} adapters that nobody asks for: {_words(idle)}. All {slots} slots in use: "
        f"{_words(inside)}; {most} in use: {_words(last)} (times one adapter's)."
    )


def _words(rows: list[Row]) -> str:
    return " and ".join(f"{one.figure.removesuffix(' ratio')} {one.measured:.2f}" for one in rows)


def _stops(rows: list[Row], slots: int, cached: int) -> str:
    broken = next((one for one in rows if one.judged and one.x is not None and one.low > _SAME), None)
    if broken is None:
        most = max((one for one in rows if one.x is not None), key=lambda one: one.x or 0.0)
        said = f"{slots} slots and {cached} adapters in host memory"
        return f"Nowhere up to {most.setting} in all repeats, with {said}."
    return (
        f"From {broken.setting} ({broken.figure} {broken.measured:.2f}), with {slots} slots and {cached} "
        "adapters in host memory: distinct adapters in a step cost before the slots run out, loads after."
    )
