from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from advisor.errors import InputError
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.sampler import Sampling
from calibration.engine.speculate import ModelDraft, NgramDraft, NgramDrafter, Part, verify
from tests.engine.conftest import Tiny
from tests.engine.models import ADAPTERS, reference_logits, save_model, some_tokens
from tests.engine.running import engine_for, run

ALL = [None, *ADAPTERS]


def drafts_of(tiny: Tiny) -> dict[str, NgramDraft | ModelDraft]:
    return {
        "ngram": NgramDraft(3, shortest_match=1),
        "stranger": ModelDraft(3, tiny.draft),
        "itself": ModelDraft(4, tiny.model),
    }


def answers_of(engine: Engine, count: int = 24, **more: Any) -> list[list[int]]:
    repeating = some_tokens(5) * 3  # so that n-grams find something
    ids = [
        engine.add_request([*repeating[place:], place], adapter=adapter, max_tokens=count, **more)
        for place, adapter in enumerate(ALL)
    ]
    answers = run(engine)
    return [answers[index] for index in ids]


@pytest.mark.parametrize("draft", ["ngram", "stranger", "itself"])
@pytest.mark.parametrize("blocks", [128, 26])
def test_greedy_answers_are_the_same_with_and_without_drafts(draft: str, blocks: int, tiny: Tiny) -> None:
    want = answers_of(engine_for(tiny.model, tiny.adapters))
    options = EngineOptions(kv_blocks=blocks, draft=drafts_of(tiny)[draft])
    engine = engine_for(tiny.model, tiny.adapters, options)
    assert answers_of(engine) == want
    counters = engine.books.counters
    assert sum(counters.drafted) > 0
    assert (counters.preemptions > 0) == (blocks == 26)


def test_a_draft_that_is_the_target_is_always_accepted_by_the_base(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, options=EngineOptions(draft=ModelDraft(4, tiny.model)))
    index = engine.add_request(some_tokens(11), max_tokens=21)
    live = engine.live(index)
    run(engine)
    assert (live.verify_steps, live.drafted_tokens, live.accepted_drafts) == (4, 16, 16)
    assert engine.books.counters.accepted == [4, 4, 4, 4]
    assert [step.batch.outputs for step in engine.books.steps] == [1, 5, 5, 5, 5]


def test_a_draft_knows_no_adapter_and_loses_acceptance(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, tiny.adapters, EngineOptions(draft=ModelDraft(4, tiny.model)))
    answers_of(engine)
    drafted, accepted = engine.books.counters.drafted, engine.books.counters.accepted
    assert 0 < accepted[0] < drafted[0]
    assert accepted == sorted(accepted, reverse=True)


@pytest.mark.parametrize("chunk", [5, 32])
def test_drafts_see_cached_prefixes_and_chunks(chunk: int, tiny: Tiny) -> None:
    options = EngineOptions(kv_blocks=128, draft=ModelDraft(4, tiny.model))
    engine = engine_for(tiny.model, options=options, max_num_batched_tokens=chunk)
    for _ in range(2):
        engine.add_request(some_tokens(23), max_tokens=11)
        run(engine)
    assert engine.books.counters.cached_tokens == 20
    assert engine.books.counters.accepted == engine.books.counters.drafted


def continuation(tokens: list[int], how: NgramDraft) -> list[int]:
    class Live:
        pass

    live: Any = Live()
    live.tokens = tokens
    (drafts,) = NgramDrafter(how).propose([Part(live, len(tokens) - 1, 1, False)]).drafts
    return drafts


@pytest.mark.parametrize(
    ("tokens", "drafts"),
    [
        ([1, 2, 3, 9, 1, 2, 3], [9, 1, 2]),  # what followed 1 2 3
        ([1, 2, 3, 9, 2, 3, 8, 1, 2, 3], [9, 2, 3]),  # the longest match, not the latest
        ([2, 3, 7, 2, 3, 8, 2, 3], [8, 2, 3]),  # of equally long ones the latest
        ([5, 5, 5], [5]),  # it may overlap what it continues
        ([1, 2, 3, 4], []),
        ([7], []),
    ],
)
def test_ngrams_continue_the_latest_of_the_longest_matches(tokens: list[int], drafts: list[int]) -> None:
    assert continuation(tokens, NgramDraft(3, longest_match=3, shortest_match=2)) == drafts


def test_ngrams_shorter_than_the_shortest_match_are_not_tried() -> None:
    assert continuation([4, 1, 5, 4], NgramDraft(2, shortest_match=2)) == []
    assert continuation([4, 1, 5, 4], NgramDraft(2, shortest_match=1)) == [1, 5]


def distribution(seed: int, *size: int) -> Tensor:
    return (2 * torch.randn(*size, generator=torch.Generator().manual_seed(seed))).softmax(-1)


@pytest.mark.parametrize("certain", [False, True])
def test_verified_tokens_are_distributed_as_the_targets(certain: bool) -> None:
    """Each token of a verify step has distribution p, whatever the draft: Leviathan et al., appendix A.1."""
    rows, vocab = 60_000, 6
    generator = torch.Generator().manual_seed(5)
    p, q = distribution(1, 3, vocab), distribution(2, 2, vocab)
    if certain:
        drafts, draft_probs = torch.tensor([[4, 1]]).expand(rows, 2), None
    else:
        drafts = torch.stack(
            [torch.multinomial(q[i], rows, True, generator=generator) for i in (0, 1)], dim=1
        )
        draft_probs = q.expand(rows, 2, vocab)
    lucks = torch.rand(rows, 5, dtype=torch.float64, generator=generator)
    accepted, chosen = verify(
        p.expand(rows, 3, vocab), drafts, torch.full((rows,), 2), draft_probs, lucks[:, :2], lucks[:, 2:]
    )
    tokens = torch.cat([drafts, chosen[:, None]], dim=1)
    for place in range(3):
        reached = accepted >= place
        at_place = torch.where(accepted > place, tokens[:, min(place, 1)], chosen)[reached]
        counts = np.bincount(at_place.numpy(), minlength=vocab)
        expected = p[place].double().numpy() * counts.sum()
        assert chisquare(counts, expected * (counts.sum() / expected.sum())).pvalue > 1e-3
    share = torch.minimum(p[0], q[0]).sum() if draft_probs is not None else p[0, 4]
    assert (accepted > 0).double().mean().item() == pytest.approx(float(share), abs=0.01)


def test_rows_with_fewer_drafts_stop_at_their_own_length() -> None:
    p = torch.full((3, 3, 4), 0.25)
    drafts = torch.zeros(3, 2, dtype=torch.int64)
    zeros = torch.zeros(3, 3, dtype=torch.float64)
    accepted, _ = verify(p, drafts, torch.tensor([0, 1, 2]), None, zeros[:, :2], zeros)
    assert accepted.tolist() == [0, 1, 2]


def test_drafts_that_cannot_be_are_rejected_and_never_chosen() -> None:
    p = torch.tensor([[[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]]).expand(1000, 2, 3)
    drafts = torch.zeros(1000, 1, dtype=torch.int64)
    lucks = torch.rand(1000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    accepted, chosen = verify(
        p, drafts, torch.ones(1000, dtype=torch.int64), None, lucks[:, :1], lucks[:, 1:]
    )
    assert accepted.sum() == 0
    assert set(chosen.tolist()) == {1, 2}


@pytest.mark.parametrize("draft", ["model", "ngram"])
def test_temperature_with_drafts_gives_the_targets_distribution(draft: str, tmp_path: Path) -> None:
    """Two tokens of 2000 requests with seeds of their own against the exact distribution of pairs."""
    small: dict[str, Any] = {"vocab_size": 5, "initializer_range": 0.2}
    model = save_model(tmp_path / "model", **small)
    other = save_model(tmp_path / "other", seed=3, num_hidden_layers=1, **small)
    prompt = [1, 2, 0, 1, 2]
    how = ModelDraft(2, other) if draft == "model" else NgramDraft(2, shortest_match=1)
    engine = engine_for(
        model, options=EngineOptions(kv_blocks=4000, draft=how), max_num_seqs=500, max_num_batched_tokens=4000
    )
    ids = [
        engine.add_request(prompt, max_tokens=3, sampling=Sampling(temperature=0.9, seed=seed))
        for seed in range(2000)
    ]
    answers = run(engine)
    pairs = np.zeros((5, 5))
    for index in ids:
        pairs[answers[index][1], answers[index][2]] += 1
    exact = np.zeros((5, 5))
    first = (reference_logits(model, prompt)[-1] / 0.9).softmax(-1)
    for a in range(5):
        second = (reference_logits(model, [*prompt, a])[-1] / 0.9).softmax(-1)
        for b in range(5):
            third = (reference_logits(model, [*prompt, a, b])[-1] / 0.9).softmax(-1)
            exact[b] += float(first[a] * second[b]) * third.double().numpy()
    assert 0.02 < sum(engine.books.counters.accepted) / sum(engine.books.counters.drafted) < 0.95
    expected = exact.flatten() * (pairs.sum() / exact.sum())
    assert chisquare(pairs.flatten(), expected).pvalue > 1e-3


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), temperature=st.sampled_from([0.0, 0.7, 1.3]), gamma=st.integers(1, 3))
def test_drafts_never_lengthen_an_answer(tiny: Tiny, seed: int, temperature: float, gamma: int) -> None:
    options = EngineOptions(kv_blocks=64, draft=ModelDraft(gamma, tiny.draft))
    engine = engine_for(tiny.model, options=options)
    sampling = Sampling(temperature=temperature, seed=seed)
    ids = [engine.add_request(some_tokens(4 + n, seed), max_tokens=n, sampling=sampling) for n in range(1, 6)]
    answers = run(engine)
    assert [len(answers[index]) for index in ids] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (NgramDraft(0), "the draft's length is 0; allowed: at least 1"),
        (NgramDraft(2, longest_match=1), "1 <= shortest_match <= longest_match"),
        (NgramDraft(2, shortest_match=0), "1 <= shortest_match <= longest_match"),
        (NgramDraft(40), "max_num_batched_tokens is 32; allowed: at least 41"),
    ],
)
def test_impossible_drafts_are_refused(draft: NgramDraft, words: str, tiny: Tiny) -> None:
    with pytest.raises(InputError, match=words):
        engine_for(tiny.model, options=EngineOptions(draft=draft))


def test_a_draft_of_another_vocabulary_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = save_model(tmp_path, vocab_size=50)
    with pytest.raises(InputError, match=r"vocab_size is 50; allowed: 97, as the target has\."):
        engine_for(tiny.model, options=EngineOptions(draft=ModelDraft(2, other)))
