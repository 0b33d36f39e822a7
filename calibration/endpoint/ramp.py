"""More and more streams at once until the server gives no more, or the bound is reached."""

from __future__ import annotations

from typing import Final

import numpy as np

from advisor.spec.engine import EngineLimits
from calibration.endpoint.metrics import Counts, read_counts
from calibration.endpoint.plan import STEPS, spread
from calibration.endpoint.samples import Level
from calibration.endpoint.sweep import Sweep

_GAIN: Final = 1.05
"""Twice the streams that bring less than a twentieth more tokens a second: saturated."""
_SPREAD: Final = 4
_SEED: Final = 17


async def saturate(sweep: Sweep, limits: EngineLimits, longest_tokens: int) -> None:
    """Double the streams, with prompts of many lengths and adapters among them.

    Stops where throughput no longer grows, at --max-concurrency, or where a level would take more than a
    fifth of the budget that is left. The levels' steps are what the fit is held to.
    """
    bounds, streams, last = sweep.prober.bounds, 1, 0.0
    lengths = np.random.default_rng(_SEED)
    most = max(8, min(longest_tokens, 256))
    together = min(len(sweep.adapters), limits.max_loras or len(sweep.adapters))
    while streams < bounds.max_concurrency:
        streams = min(2 * streams, bounds.max_concurrency)
        if sweep.prober.sent + streams > bounds.max_requests:
            sweep.findings.note("the saturation ramp stopped at --max-requests.")
            return
        began_s = sweep.prober.spent_s
        prompts = np.exp(lengths.uniform(np.log(8), np.log(most + 1), streams)).astype(int).tolist()
        level = await _level(sweep, prompts, min(together, streams))
        sweep.findings.levels.append(level)
        took_s = sweep.prober.spent_s - began_s
        if level.tokens_per_s < _GAIN * last:
            sweep.findings.facts["saturated_streams"] = streams
            return
        if _SPREAD * took_s > max(sweep.prober.left_s, 0.0):
            sweep.findings.note(f"the saturation ramp stopped at {streams} streams by --budget.")
            return
        last = level.tokens_per_s


async def _level(sweep: Sweep, prompts: list[int], adapters: int) -> Level:
    names: list[str | None] = list(spread(sweep.adapters, adapters, len(prompts)))
    if sweep.prober.target.kind.mixes_adapters:
        names = [None if index % 3 == 2 else name for index, name in enumerate(names)]
    before = await counts(sweep)
    tokens = STEPS + 2 + sum(prompts) // sweep.budget_tokens
    answers = await sweep.together(prompts, tokens, names)
    after = await counts(sweep)
    sweep.keep_steps(answers, names, "held_out")
    took_s = max(a.part_s[-1] for a in answers) - min(a.sent_s for a in answers)
    return Level(
        len(prompts),
        sum(a.output_tokens for a in answers) / took_s,
        float(np.mean([a.ttft_s for a in answers])),
        _together([(a.part_s[0], a.part_s[-1]) for a in answers]),
        None if before is None or after is None else after.mean_since(before, "queue"),
    )


def _together(spans: list[tuple[float, float]]) -> int:
    """Most spans that overlap."""
    edges = sorted([(low, 1) for low, _ in spans] + [(high, -1) for _, high in spans])
    running = most = 0
    for _, change in edges:
        running += change
        most = max(most, running)
    return most


async def counts(sweep: Sweep) -> Counts | None:
    """The server's /metrics now; None: it has none."""
    status, text = await sweep.prober.get("/metrics")
    found = read_counts(text) if status == 200 else None
    return found if found is not None and found.values else None
