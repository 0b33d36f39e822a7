"""How often a draft's tokens are accepted, position by position, on real prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.profile import DraftTerm, Profile
from advisor.spec.spec import Origin
from advisor.spec.speculation import Acceptance
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.requests import LiveRequest
from calibration.engine.sampler import Sampling
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.livesetup import LiveSetup

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """P(at least i drafts of a verify step are accepted), with its 5th and 95th percentile."""

    acceptance: Acceptance
    low: tuple[float, ...]
    high: tuple[float, ...]
    verify_steps: int
    prompts: int
    drafted_share: float  # drafts that there were, of γ a verify step

    @property
    def length(self) -> float:
        """Tokens of a verify step, τ = 1 + Σ a_i."""
        return self.acceptance.tokens_per_step(len(self.low))


def measure_acceptance(
    setup: LiveSetup,
    prompts: Sequence[Sequence[int]],
    *,
    adapter: str | None = None,
    output_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
) -> Measured:
    """Answer every prompt with drafts and count; steps without any draft (n-gram, no match) count as none.

    Args:
        setup: with a draft.
        prompts: token ids.
        adapter: whose requests they are; None: the base's.
        output_tokens: answer length.
        temperature: 0 is greedy.
        seed: of sampling and of the bootstrap, which draws prompts.

    Raises:
        InputError: no draft, no prompts, or what the engine refuses.
    """
    gamma = setup.options.draft_length
    if not gamma:
        raise InputError("acceptance: the engine drafts nothing; allowed: a draft model or n-gram.")
    if not prompts:
        raise InputError("acceptance: there are no prompts; allowed: at least one.")
    engine = setup.engine()
    counts = np.zeros((len(prompts), gamma + 1))  # verify steps, then steps with at least i accepted
    for start in range(0, len(prompts), engine.limits.max_num_seqs):
        part = prompts[start : start + engine.limits.max_num_seqs]
        rows = {
            engine.add_request(
                prompt,
                adapter=adapter,
                max_tokens=output_tokens,
                sampling=Sampling(temperature, seed=seed + start + line),
                ignore_eos=True,
            ): start + line
            for line, prompt in enumerate(part)
        }
        _count(engine, rows, counts)
    engine.close()
    drafted = sum(engine.books.counters.drafted) / max(gamma * counts[:, 0].sum(), 1)
    source = f"{len(prompts)} prompts, {output_tokens} tokens each, {_name(setup)}"
    return _measured(counts, min(drafted, 1.0), seed, source)


def _count(engine: Engine, rows: dict[int, int], counts: np.ndarray) -> None:
    """Step until all are answered; emissions of a verify step are the accepted drafts and one token."""
    live: dict[int, LiveRequest] = {number: engine.live(number) for number in rows}
    seen = dict.fromkeys(rows, 0)
    while engine.busy:
        for output in engine.step():
            request = live[output.request]
            if request.verify_steps > seen[output.request]:
                seen[output.request] = request.verify_steps
                row = counts[rows[output.request]]
                row[0] += 1
                row[1 : len(output.tokens)] += 1


def _measured(counts: np.ndarray, drafted_share: float, seed: int, source: str) -> Measured:
    """Marginals and their bootstrap over prompts."""
    total = counts.sum(axis=0)
    random = np.random.default_rng(seed)
    draws = random.integers(0, len(counts), (_RESAMPLES, len(counts)))
    sums = counts[draws].sum(axis=1)
    shares = sums[:, 1:] / np.maximum(sums[:, :1], 1)
    low, high = np.percentile(shares, [5, 95], axis=0)
    marginals = np.minimum.accumulate(total[1:] / max(total[0], 1))
    return Measured(
        Acceptance(marginals=tuple(marginals.tolist()), origin=Origin.MEASURED, source=source),
        tuple(low.tolist()),
        tuple(high.tolist()),
        int(total[0]),
        len(counts),
        float(drafted_share),
    )


def _name(setup: LiveSetup) -> str:
    how = setup.options.draft
    return f"draft {Path(how.model_dir).name}" if isinstance(how, ModelDraft) else "n-gram"


def with_acceptance(profile: Profile, draft: NgramDraft | ModelDraft, found: Measured) -> Profile:
    """The profile with this acceptance in its draft term.

    Raises:
        InputError: the profile has no such draft.
    """
    method = "draft_model" if isinstance(draft, ModelDraft) else "ngram"
    model = Path(draft.model_dir).name if isinstance(draft, ModelDraft) else None
    terms = profile.models[0]
    drafts = list(terms.drafts)
    for place, term in enumerate(drafts):
        if _is(term, method, model):
            update: dict[str, object] = {"acceptance": found.acceptance, "drafted_share": found.drafted_share}
            drafts[place] = term.model_copy(update=update)
            models = (terms.model_copy(update={"drafts": tuple(drafts)}), *profile.models[1:])
            return profile.model_copy(update={"models": models})
    known = ", ".join(f"{t.method} {t.model or ''}".strip() for t in drafts) or "none"
    raise InputError(
        f"{profile.name}: has the drafts {known}; allowed here: {method} {model or ''}".rstrip()
        + ". Calibrate with this draft first."
    )


def _is(term: DraftTerm, method: str, model: str | None) -> bool:
    return term.method == method and term.model in (None, model)


def with_draft(setup: LiveSetup, draft: NgramDraft | ModelDraft | None) -> LiveSetup:
    """The same set-up with another draft."""
    options = setup.options
    return replace(setup, options=EngineOptions(options.kv_blocks, options.dtype, options.device, draft))
