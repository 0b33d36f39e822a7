"""C7: speculation on a merged fine-tune, with a draft that knows it and one that does not.

The trained tiny family alone can show this: what a model with random weights says, no draft foresees.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from advisor.spec.speculation import Acceptance
from calibration import tinymodels
from calibration.acceptance import measure_acceptance, with_draft
from calibration.claims.bench import Bench, Runs, Side, acceptance_length, mean_tpot_ms
from calibration.claims.result import Outcome, Row, row
from calibration.claims.verdict import Rule, above, below, outcome
from calibration.engine.speculate import ModelDraft
from calibration.livesetup import LiveSetup

GAMMA: Final = 3
_STYLE: Final = "shout"
_PROMPT, _ANSWER = 24, 64
_BATCHES: Final = (1, 4, 16)


def speculation(bench: Bench) -> Outcome:
    """Acceptance length and TPOT, without draft, with the stock and with a custom one; temperature 0."""
    tuned = replace(bench.plain(), merged=tinymodels.adapter_dirs()[_STYLE])
    drafts = {
        "stock draft": tinymodels.draft_dirs()["stock"],
        "custom draft": tinymodels.draft_dirs()[_STYLE],
    }
    setups = {name: with_draft(tuned, ModelDraft(GAMMA, folder)) for name, folder in drafts.items()}
    known = {name: _acceptance(bench, setup) for name, setup in setups.items()}
    sizes = [size for size in _BATCHES if size <= bench.setup.limits.max_num_seqs]
    share_s = bench.replay_s(4 * len(sizes))
    rows: list[Row] = []
    for size in sizes:
        trace = bench.waves(size, 0, _ANSWER, _PROMPT, max(share_s, 2.0 / size))
        texts = _texts(_STYLE, len(trace), bench.seed)
        sides = {
            "base, no draft": Side(bench.plain(), trace, _texts("base", len(trace), bench.seed)),
            "fine-tune, no draft": Side(tuned, trace, texts),
        }
        sides |= {n: Side(setups[n], trace, texts, acceptance=known[n]) for n in setups}
        rows += _rows(f"batch {size}", size, bench.runs(sides))
    return outcome(rows, _rule, why=_why(rows), where_it_stops=_stops(rows, sizes), x_title="batch")


def _acceptance(bench: Bench, setup: LiveSetup) -> Acceptance:
    """On prompts that the experiment does not use."""
    prompts = _texts(_STYLE, 16, bench.seed + 1000)
    return measure_acceptance(setup, prompts, output_tokens=_ANSWER, seed=bench.seed).acceptance


def _texts(style: str, count: int, seed: int) -> list[list[int]]:
    return tinymodels.prompts(style, count, _PROMPT, seed)


def _rows(setting: str, size: int, found: dict[str, Runs]) -> list[Row]:
    rows = []
    for name, runs in found.items():
        said, seen = runs.of(mean_tpot_ms)
        rows.append(row(setting, f"TPOT, {name}", said, seen, unit="ms", x=size))
    lengths = {name: found[name].of(acceptance_length) for name in ("stock draft", "custom draft")}
    for name, (said, seen) in lengths.items():
        rows.append(row(setting, f"acceptance length, {name}", said, seen, unit="tokens", x=size))
    gain = [b / a for a, b in zip(lengths["stock draft"][1], lengths["custom draft"][1], strict=True)]
    simulated = lengths["custom draft"][0] / lengths["stock draft"][0]
    rows.append(row(setting, "acceptance length, custom over stock", simulated, gain, x=size, judged=True))
    for name, other in (("custom draft", "base, no draft"), ("stock draft", "fine-tune, no draft")):
        mine, theirs = found[name].of(mean_tpot_ms), found[other].of(mean_tpot_ms)
        values = [a / b for a, b in zip(mine[1], theirs[1], strict=True)]
        figure = f"TPOT ratio, {name} over {other}"
        rows.append(row(setting, figure, mine[0] / theirs[0], values, x=size, judged=name == "custom draft"))
    return rows


def _rule(one: Row) -> Rule | None:
    return above(1.0) if one.figure.startswith("acceptance") else below(1.0)


def _of(rows: list[Row], figure: str) -> list[Row]:
    return [one for one in rows if one.figure == figure]


def _why(rows: list[Row]) -> str:
    stock = np.mean([one.measured for one in _of(rows, "acceptance length, stock draft")])
    custom = np.mean([one.measured for one in _of(rows, "acceptance length, custom draft")])
    alone = _of(rows, "TPOT ratio, custom draft over base, no draft")[0]
    return (
        f"Acceptance length {stock:.2f} with the stock draft, {custom:.2f} with the custom one "
        f"(γ = {GAMMA}); TPOT {alone.measured:.2f} times the plain base's at {alone.setting} "
        "with the custom draft."
    )


def _stops(rows: list[Row], sizes: list[int]) -> str:
    said = []
    for name, other in (("custom draft", "base, no draft"), ("stock draft", "fine-tune, no draft")):
        found = _of(rows, f"TPOT ratio, {name} over {other}")
        lost = next((one for one in found if one.measured >= 1.0), None)
        where = f"pays up to batch {sizes[-1]}, the largest tried" if lost is None else (
            f"stops paying at {lost.setting} (TPOT {lost.measured:.2f} times {other})"
        )  # fmt: skip
        said.append(f"the {name} {where}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def missing() -> str:
    """Why C7 cannot be tried, empty if it can."""
    from advisor.errors import InputError

    try:
        folders: list[Path] = [*tinymodels.adapter_dirs().values(), *tinymodels.draft_dirs().values()]
    except InputError as error:
        return str(error)
    assert folders
    return ""
