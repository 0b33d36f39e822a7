"""What drafting costs the live engine, and how often its drafts are accepted there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advisor.profile import DraftTerm, Profile
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin
from advisor.spec.speculation import Acceptance
from advisor.steptime.clock import ProfileClock
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.fit import fit_non_negative
from calibration.microbench.operations import ladder
from calibration.microbench.samples import Samples
from calibration.microbench.steps import Design, batch_of, run_design
from calibration.microbench.terms import Mark


def label(draft: NgramDraft | ModelDraft) -> str:
    """Tells drafts apart."""
    name = Path(draft.model_dir).name if isinstance(draft, ModelDraft) else "ngram"
    return f"{name}x{draft.length}"


def measure_drafts(
    model_dir: Path, limits: EngineLimits, options: EngineOptions, samples: Samples, seed: int
) -> None:
    """Decode with the options' draft over sequences and contexts."""
    assert options.draft is not None
    kind = label(options.draft)
    engine = Engine(model_dir, plain_limits(limits), {}, options)
    longest = max(16, min(engine.architecture.max_positions // 2, 512))
    held = options.kv_blocks * limits.kv_block_tokens
    for sequences in ladder(limits.max_num_seqs)[::2]:
        for length in (16, longest // 4, longest):
            design = Design(sequences, length, 0, 24)
            name = f"drafts/{kind}/{design.name}"
            if sequences * (length + 64) <= held and not samples.has_run(name):
                samples.add_steps(name, run_design(engine, design, (), seed))
    counters = engine.books.counters
    for place, (drafted, accepted) in enumerate(zip(counters.drafted, counters.accepted, strict=True)):
        if drafted:
            samples.add(f"accepted {kind}", {"position": place + 1.0}, accepted / drafted)
    engine.close()


def draft_term(
    draft: NgramDraft | ModelDraft, samples: Samples, mark: Mark, profile: Profile, limits: EngineLimits
) -> DraftTerm:
    """γ·(fixed + per_sequence·S + per_context_token·C) + per_prompt_token·P, from steps with drafts.

    Fitted to all that such a step takes beyond what the clock says of its tokens: drafting itself, and what
    verifying several tokens a sequence costs more than as many sequences.
    """
    run = f"drafts/{label(draft)}/"
    steps = [s for s in samples.steps if s["run"].startswith(run)]
    gamma = draft.length
    share = _drafted_share(steps, gamma)
    common: dict[str, Any] = {"origin": Origin.FITTED, "source": mark.source}
    common |= {"method": "ngram", "model": None, "drafted_share": share}
    if isinstance(draft, ModelDraft):
        common |= {"method": "draft_model", "model": Path(draft.model_dir).name}
    common["acceptance"] = _acceptance(samples, label(draft), gamma)
    free = DraftTerm(fixed_s=0.0, **common)
    clock = ProfileClock(profile, profile.models[0], plain_limits(limits), draft=free)
    extra = np.array([max(s["s"] - clock.parts(batch_of(s)).total, s["draft_s"], 1e-6) for s in steps])
    decoding = np.array([float(step["decodes"] > 0) for step in steps])
    fit = fit_non_negative(
        {
            "fixed_s": gamma * decoding,
            "per_sequence_s": np.array([gamma * float(s["decodes"]) for s in steps]),
            "per_context_token_s": np.array([gamma * float(s["context"]) for s in steps]),
            "per_prompt_token_s": np.array([float(sum(q for q, _ in s["chunks"])) for s in steps]),
        },
        extra,
        relative=False,
    )
    off = float(np.clip(fit.median_absolute, 0.01, 0.9))
    common |= {"interval": (1 - off, 1 + off), **fit.values}
    return DraftTerm(**common)


def plain_limits(limits: EngineLimits) -> EngineLimits:
    """The same engine with LoRA off and nothing cached."""
    off = {"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0, "prefix_caching": False}
    return limits.model_copy(update=off)


def _drafted_share(steps: list[dict[str, Any]], gamma: int) -> float:
    """Drafts that there were, of those that there could have been."""
    asked = sum(gamma * int(step["decodes"]) for step in steps)
    return min(1.0, sum(int(step["drafted"]) for step in steps) / max(asked, 1))


def _acceptance(samples: Samples, kind: str, gamma: int) -> Acceptance:
    """Of random prompts: real ones are for `calibrate acceptance`."""
    found = {int(p["position"]): values[-1] for p, values in samples.of(f"accepted {kind}")}
    marginals = [found.get(place, 0.0) for place in range(1, gamma + 1)]
    falling = np.minimum.accumulate(marginals).tolist()
    return Acceptance(
        marginals=tuple(falling),
        origin=Origin.ESTIMATED,
        source="random prompts of the calibration; measure yours with calibrate acceptance",
    )
