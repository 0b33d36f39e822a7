"""C3: how much longer a prompt takes with an unmerged adapter, over its length and the adapter's rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from advisor.trace.trace import Trace
from calibration.claims.bench import Bench, Side, compare, to_base, ttft_ms
from calibration.claims.result import Outcome, Row
from calibration.claims.verdict import outcome, within

_LENGTHS: Final = (16, 64, 256, 512)
_LOW, _HIGH = 1.1, 1.3


def prompts(bench: Bench) -> Outcome:
    """A lone request's time to first token; requests are so far apart that none meets another."""
    lengths = [n for n in _LENGTHS if n + 1 <= _longest(bench)]
    share_s = bench.replay_s(len(lengths) * (1 + len(bench.ranks)))
    rows: list[Row] = []
    for length in lengths:
        trace = alone(bench, length, share_s)
        sides = {"base": Side(bench.plain(), to_base(trace))}
        sides |= {f"rank {rank}": Side(bench.unmerged(1, rank=rank), trace) for rank in bench.ranks}
        found = bench.runs(sides)
        for number, rank in enumerate(bench.ranks):
            name = f"rank {rank}"
            three = compare(
                f"{length} tokens", ("TTFT", ttft_ms), ("base", found["base"]), (name, found[name]), x=length
            )
            ratio = three[2].model_copy(update={"figure": f"TTFT ratio, {name}"})
            rows += [*three[0 if number == 0 else 1 : 2], ratio]
    judged = [one for one in rows if one.judged]
    outside = [one for one in judged if not _LOW <= one.measured <= _HIGH]
    low, high = min(one.measured for one in judged), max(one.measured for one in judged)
    said = "; ".join(f"{_percent(one.measured)} at {one.setting}, {_rank(one)}" for one in outside)
    return outcome(
        rows,
        lambda _row: within(_LOW, _HIGH),
        why=f"{_percent(low)} to {_percent(high)} longer, {lengths[0]} to {lengths[-1]} tokens.",
        where_it_stops=f"Outside of +10 % to +30 %: {said}." if outside else "Nowhere in the range tried.",
        x_title="prompt tokens",
    )


def alone(bench: Bench, prompt_tokens: int, seconds: float) -> Trace:
    """Requests of one answer token to one adapter, each after the last has ended."""
    one = replace(
        bench.at_once(1, 1),
        prompt_tokens=np.full(1, prompt_tokens, dtype=np.int64),
        output_tokens=np.full(1, 1, dtype=np.int64),
    )
    gap_s = 2.0 * float(np.nanmax(bench.predicted(Side(bench.unmerged(1), one)).last_token_s)) + 0.005
    count = int(np.clip(seconds / gap_s, 5, 200))
    return replace(
        one,
        arrival_s=gap_s * np.arange(count, dtype=np.float64),
        prompt_tokens=np.repeat(one.prompt_tokens, count),
        output_tokens=np.repeat(one.output_tokens, count),
        adapter=np.repeat(one.adapter, count),
    )


def _longest(bench: Bench) -> int:
    from calibration.engine.config import read_architecture

    held = bench.setup.options.kv_blocks * bench.setup.limits.kv_block_tokens
    return min(held, read_architecture(bench.setup.model_dir).max_positions)


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.0f} %"


def _rank(one: Row) -> str:
    return one.figure.removeprefix("TTFT ratio, ")
