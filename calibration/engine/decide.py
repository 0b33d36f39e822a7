"""From a step's logits to each request's tokens: drafts accepted, and the token chosen behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from calibration.engine.requests import LiveRequest
from calibration.engine.sampler import ACCEPT, CHOICE, Sampling, luck, probabilities
from calibration.engine.speculate import verify


class Asked(NamedTuple):
    """A request that gets tokens in this step. Its logits are one row a draft, and one more."""

    live: LiveRequest
    drafts: list[int]
    drafting: int | None  # its line in the proposal's probabilities; None: a prompt's first token


def decide(logits: Tensor, asked: Sequence[Asked], draft_probs: Tensor | None) -> list[list[int]]:
    """Tokens of each request, accepted drafts first: (rows, vocab) logits, in the order of `asked`."""
    if all(one.live.sampling.temperature == 0 for one in asked):
        return _greedy(logits.argmax(-1).tolist(), asked)
    starts, at = [], 0
    for one in asked:
        starts.append(at)
        at += len(one.drafts) + 1
    gamma = max(len(one.drafts) for one in asked)
    device = logits.device
    samplings: list[Sampling] = []
    for one in asked:
        samplings += [one.live.sampling] * (len(one.drafts) + 1)
    probs = probabilities(logits, samplings)
    rows = [
        [start + min(place, len(one.drafts)) for place in range(gamma + 1)]
        for start, one in zip(starts, asked, strict=True)
    ]
    accepted, chosen = verify(
        probs[torch.tensor(rows, device=device)],
        torch.tensor([one.drafts + [0] * (gamma - len(one.drafts)) for one in asked], dtype=torch.int64).to(
            device
        ),
        torch.tensor([len(one.drafts) for one in asked], device=device),
        None if draft_probs is None or gamma == 0 else _lined_up(draft_probs, asked),
        _lucks(asked, gamma, ACCEPT).to(device),
        _lucks(asked, gamma + 1, CHOICE).to(device),
    )
    return [
        [*one.drafts[:kept], token]
        for one, kept, token in zip(asked, accepted.tolist(), chosen.tolist(), strict=True)
    ]


def _greedy(likeliest: list[int], asked: Sequence[Asked]) -> list[list[int]]:
    """The same where every request takes the likeliest: keep drafts as long as they are that."""
    found, at = [], 0
    for one in asked:
        row = likeliest[at : at + len(one.drafts) + 1]
        at += len(row)
        kept = 0
        while kept < len(one.drafts) and one.drafts[kept] == row[kept]:
            kept += 1
        found.append(row[: kept + 1])
    return found


def _lined_up(draft_probs: Tensor, asked: Sequence[Asked]) -> Tensor:
    """Draft probabilities in the order of `asked`; rows without drafts get any."""
    return draft_probs[torch.tensor([one.drafting or 0 for one in asked], device=draft_probs.device)]


def _lucks(asked: Sequence[Asked], places: int, decides: int) -> Tensor:
    """(requests, places) luck of the coming tokens."""
    table = [
        [luck(one.live.sampling, one.live.request.emitted_tokens + place, decides) for place in range(places)]
        for one in asked
    ]
    return torch.tensor(table, dtype=torch.float64).reshape(len(asked), places)
