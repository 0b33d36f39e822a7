"""C6: merged weights beside the base, and the memory that adapter slots take."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from advisor.spec.model import ALL_LINEAR, adapter_bytes
from calibration.claims.bench import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    Bench,
    Side,
    compare,
    to_base,
    tpot_ms,
    ttft_ms,
)
from calibration.claims.result import Outcome, Row, row
from calibration.claims.verdict import Rule, above, outcome, within

_SAME: Final = 1.05
_LOADS: Final = (0.3, 0.7)
_MIB: Final = 2.0**20


def merged(bench: Bench) -> Outcome:
    """TTFT and TPOT at two loads; bytes of the slots, and sequences that would fit there."""
    capacity = bench.capacity_rps(bench.plain(), 0)
    rows: list[Row] = []
    for load in _LOADS:
        trace = bench.poisson(load * capacity, 0, bench.replay_s(2 * len(_LOADS)))
        found = bench.runs(
            {"base": Side(bench.plain(), trace), "merged": Side(bench.merged(), to_base(trace))}
        )
        base, other = ("base", found["base"]), ("merged", found["merged"])
        for figure in (("TTFT", ttft_ms), ("TPOT", tpot_ms)):
            rows += compare(f"{load:.0%} load", figure, base, other, x=load * capacity)
    memory = [_memory(bench, rank) for rank in (bench.rank, 4 * bench.rank)]
    judged = [one for one in rows if one.judged]
    off = max(judged, key=lambda one: abs(one.measured - 1))
    few = memory[0][1]
    return outcome(
        [*rows, *memory[0], *memory[1]],
        _rule,
        why=(
            f"Furthest apart: {off.figure} {off.measured:.3f} at {off.setting} (repeats {off.low:.3f} to "
            f"{off.high:.3f}); {memory[0][0].setting} take {memory[0][0].measured:.1f} MiB."
        ),
        where_it_stops=(
            f"Latency: {_words(judged)}. Memory: {memory[0][0].setting} are worth {few.measured:.0f} "
            f"sequences of {PROMPT_TOKENS + ANSWER_TOKENS} tokens, {memory[1][0].setting} "
            f"{memory[1][1].measured:.0f}: it matters where slots are many or wide."
        ),
        x_title="requests a second",
    )


def _memory(bench: Bench, rank: int) -> list[Row]:
    """Slots' bytes as the engine allocates them, beside the equation's."""
    limits = bench.setup.limits.model_copy(update={"max_lora_rank": rank})
    engine = replace(bench.setup, limits=limits, adapters={}, preload=()).engine()
    shape = engine.architecture.shape
    tokens = bench.setup.options.kv_blocks * bench.setup.limits.kv_block_tokens
    per_token = engine.kv_bytes / tokens
    element = per_token / (shape.kv_bytes_per_token / 2.0)  # bytes of a number, as it is kept here
    seen = float(engine.slot_bytes)
    engine.close()
    said = bench.slots * adapter_bytes(shape, ALL_LINEAR, rank, round(element))
    setting = f"{bench.slots} slots of rank {rank}"
    sequence = (PROMPT_TOKENS + ANSWER_TOKENS) * shape.kv_bytes_per_token / 2.0 * round(element)
    return [
        row(setting, "memory of slots", said / _MIB, [seen / _MIB], unit="MiB", judged=True),
        row(setting, "sequences in its place", said / sequence, [seen / sequence], unit="sequences"),
    ]


def _rule(one: Row) -> Rule | None:
    return above(0.0) if one.figure == "memory of slots" else within(1 / _SAME, _SAME)


def _words(judged: list[Row]) -> str:
    apart = [one for one in judged if not 1 / _SAME <= one.measured <= _SAME]
    if not apart:
        return f"equal within {100 * (_SAME - 1):.0f} % everywhere"
    return ", ".join(f"{one.figure} {one.measured:.2f} at {one.setting}" for one in apart)
