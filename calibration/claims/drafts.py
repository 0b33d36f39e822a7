"""C7: speculation on a fine-tuned model, with a draft that knows the fine-tune and one that does not."""

from __future__ import annotations

from dataclasses import replace

from calibration import tinymodels
from calibration.acceptance import measure_acceptance, with_draft
from calibration.claims.bench import Bench, Pair
from calibration.claims.result import ClaimResult, Row
from calibration.engine.speculate import ModelDraft

_GAMMA = 3
_STYLE = "shout"


def speculation(bench: Bench) -> ClaimResult:
    """The trained tiny family alone can show this: random weights accept nothing."""
    tuned = replace(bench.plain(), merged=tinymodels.adapter_dirs()[_STYLE])
    rows: list[Row] = []
    lengths, gains = {}, {}
    for batch in (1, bench.setup.limits.max_num_seqs):
        trace = bench.trace(float("inf"), 0, prompt=48, output=96, count=batch)
        texts = tinymodels.prompts(_STYLE, batch, 48, bench.seed)
        plain = bench.pair(tuned, trace, prompts=texts)
        rows.append(plain.row(f"fine-tuned, no draft, batch {batch}", "tpot p50", plain))
        for name, folder in (("stock", "stock"), ("custom", _STYLE)):
            how = ModelDraft(_GAMMA, tinymodels.draft_dirs()[folder])
            setup = with_draft(tuned, how)
            known = measure_acceptance(
                setup, tinymodels.prompts(_STYLE, 24, 48, bench.seed + 50), output_tokens=64
            )
            pair: Pair = bench.pair(setup, trace, prompts=texts, acceptance=known.acceptance)
            rows.append(pair.row(f"{name} draft, batch {batch}", "tpot p50", plain))
            lengths[name] = known.length
            gains[name, batch] = 1.0 / (rows[-1].ratio or 1.0)
    batches = sorted({batch for _, batch in gains})
    small, large = batches[0], batches[-1]
    regains = lengths["custom"] > lengths["stock"] + 0.05
    pays = gains["custom", small] > 1.0
    return ClaimResult(
        number="C7",
        claim="A draft that does not know the fine-tune loses acceptance; a custom one regains it and pays",
        rows=tuple(rows),
        verdict="holds" if regains and pays else "holds within limits" if regains else "does not hold here",
        why=(
            f"Acceptance length {lengths['stock']:.2f} with the stock draft, {lengths['custom']:.2f} with "
            f"the custom one; decoding {gains['stock', small]:.2f} and {gains['custom', small]:.2f} times "
            "as fast alone."
        ),
        stops=(
            f"At batch {large} the custom draft decodes {gains['custom', large]:.2f} times as fast, the "
            f"stock one {gains['stock', large]:.2f} times: verifying costs more where nothing is idle."
        ),
    )
