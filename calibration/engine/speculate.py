"""Speculative decoding: who drafts, and which drafts the target accepts.

Verification is that of Leviathan et al. 2023 (Fast inference from transformers via speculative decoding,
algorithm 1): a draft d from q is accepted with probability min(1, p(d) / q(d)); at the first rejection the
token comes from max(0, p - q), scaled; behind the last accepted draft from p. The tokens are distributed
as p's own. With temperature 0, p and q are one-hot, and the rule keeps the drafts that p would have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from advisor.errors import InputError
from calibration.engine.batch import Row
from calibration.engine.blocks import BlockPool
from calibration.engine.kv import KvCache
from calibration.engine.model import Model
from calibration.engine.requests import LiveRequest
from calibration.engine.runner import Runner
from calibration.engine.sampler import DRAFT, choose, luck, probabilities


@dataclass(frozen=True, slots=True)
class NgramDraft:
    """Draft by copying what followed the last tokens' latest earlier occurrence."""

    length: int  # γ, drafts a step
    longest_match: int = 4  # tokens compared at first; shorter ones if there is no match
    shortest_match: int = 2


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """Draft with a smaller model of the same vocabulary. It knows no adapters."""

    length: int  # γ, drafts a step
    model_dir: str | Path


class Part(NamedTuple):
    """One request's part of a step, as drafters see it."""

    live: LiveRequest
    context: int
    new_tokens: int
    prefill: bool


class Proposal(NamedTuple):
    """Drafts of each decoding request of the step, in order; fewer than γ, or none, where nothing matched."""

    drafts: list[list[int]]
    probs: Tensor | None  # (decoding, γ, vocab) that they were drawn from; None: each is certain


class Drafter(Protocol):
    """Proposes the next tokens of the decoding requests of a step."""

    length: int

    def propose(self, parts: Sequence[Part]) -> Proposal:
        """Draft for the parts that decode; see the prompts of the others."""
        ...


class NgramDrafter:
    """Drafts from the request's own tokens."""

    def __init__(self, how: NgramDraft) -> None:
        if not 1 <= how.shortest_match <= how.longest_match:
            raise InputError(
                f"n-gram draft: matches of {how.shortest_match} to {how.longest_match} tokens; "
                "allowed: 1 <= shortest_match <= longest_match."
            )
        self.length = how.length
        self._how = how

    def propose(self, parts: Sequence[Part]) -> Proposal:
        """What followed the latest earlier occurrence of the last tokens."""
        return Proposal([self._continuation(part.live.tokens) for part in parts if not part.prefill], None)

    def _continuation(self, tokens: list[int]) -> list[int]:
        known = np.asarray(tokens)
        for size in range(min(self._how.longest_match, len(tokens) - 1), self._how.shortest_match - 1, -1):
            windows = np.lib.stride_tricks.sliding_window_view(known[:-1], size)
            found = np.flatnonzero((windows == known[-size:]).all(axis=1))
            if found.size:
                start = int(found[-1]) + size
                return tokens[start : start + self.length]
        return []


class ModelDrafter:
    """Drafts with a model of its own, whose KV lies in the same blocks of another cache."""

    def __init__(
        self, how: ModelDraft, runner: Runner, model: Model, cache: KvCache, pool: BlockPool
    ) -> None:
        self.length = how.length
        self._runner = runner
        self._model = model
        self._cache = cache
        self._pool = pool

    def propose(self, parts: Sequence[Part]) -> Proposal:
        """γ passes; the first one also computes what the draft has not seen: prompt chunks, a last draft."""
        decoding = [part.live for part in parts if not part.prefill]
        logits = self._forward([self._first_row(part) for part in parts])
        if not decoding:
            return Proposal([], None)
        drafts: list[list[int]] = [[] for _ in decoding]
        probs = []
        for place in range(self.length):
            if place:
                rows = zip(decoding, drafts, strict=True)
                logits = self._forward(
                    [self._row(live, so_far[-1:], len(live.tokens) + place - 1, 1) for live, so_far in rows]
                )
            probs.append(probabilities(logits, [live.sampling for live in decoding]))
            lucks = [luck(live.sampling, live.request.emitted_tokens + place, DRAFT) for live in decoding]
            tokens = choose(probs[-1], torch.tensor(lucks, dtype=torch.float64)).tolist()
            for line, token in enumerate(tokens):
                drafts[line].append(token)
        for live in decoding:
            live.draft_computed = len(live.tokens) + self.length - 1
        return Proposal(drafts, torch.stack(probs, dim=1))

    def _first_row(self, part: Part) -> Row:
        live = part.live
        if part.prefill:
            live.draft_computed = part.context + part.new_tokens
            return self._row(live, live.tokens[part.context : live.draft_computed], part.context, 0)
        start = min(live.draft_computed, part.context)
        return self._row(live, live.tokens[start:], start, 1)

    def _row(self, live: LiveRequest, tokens: list[int], context: int, outputs: int) -> Row:
        return Row(tokens, context, self._pool.table(live.request.index), outputs=outputs)

    def _forward(self, rows: list[Row]) -> Tensor:
        return self._runner.forward(self._model, rows, self._cache)


def verify(
    probs: Tensor, drafts: Tensor, lengths: Tensor, draft_probs: Tensor | None, accept: Tensor, choice: Tensor
) -> tuple[Tensor, Tensor]:
    """Accept drafts and choose the token behind them.

    Args:
        probs: (rows, γ + 1, vocab) of the target, p; what lies behind a row's length is not looked at.
        drafts: (rows, γ) tokens.
        lengths: (rows,) how many drafts each row has.
        draft_probs: (rows, γ, vocab) of the draft, q; None: q is 1 at each draft.
        accept: (rows, γ) luck of each draft.
        choice: (rows, γ + 1) luck of the token chosen at each place.

    Returns:
        accepted: (rows,) drafts accepted.
        chosen: (rows,) the token behind them.
    """
    rows, places = drafts.shape
    lines = torch.arange(rows, device=probs.device)
    if places == 0:
        return torch.zeros_like(lines), choose(probs[:, 0], choice[:, 0])
    p = probs[:, :places].gather(-1, drafts[..., None])[..., 0]
    q = torch.ones_like(p) if draft_probs is None else draft_probs.gather(-1, drafts[..., None])[..., 0]
    kept = accept * q < p
    kept &= torch.arange(places, device=probs.device) < lengths[:, None]
    accepted = kept.cumprod(-1).sum(-1)
    rest = probs[lines, accepted]
    rejected = (accepted < lengths).nonzero()[:, 0]
    at = accepted[rejected]
    if draft_probs is None:
        rest[rejected, drafts[rejected, at]] = 0.0
    else:
        left = (rest[rejected] - draft_probs[rejected, at]).clamp_(min=0.0)
        empty = left.sum(-1, keepdim=True) == 0  # p and q differ by rounding alone
        rest[rejected] = torch.where(empty, rest[rejected], left)
    return accepted, choose(rest, choice[lines, accepted])
