from __future__ import annotations

import math

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch

from advisor.errors import InputError
from calibration.engine.sampler import ACCEPT, CHOICE, DRAFT, Sampling, choose, luck, probabilities


def test_rows_are_sampled_each_in_its_own_way() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).expand(4, 3)
    ways = [Sampling(), Sampling(1.0), Sampling(2.0), Sampling(1.0, top_p=0.7)]
    got = probabilities(logits, ways).tolist()
    e, root = math.e, math.sqrt(math.e)
    one = [1 / (1 + e + e * e), e / (1 + e + e * e), e * e / (1 + e + e * e)]
    two = [1 / (1 + root + e), root / (1 + root + e), e / (1 + root + e)]
    nucleus = [0.0, 1 / (1 + e), e / (1 + e)]  # 0.665 alone does not reach 0.7
    for row, want in zip(got, [[0.0, 0.0, 1.0], one, two, nucleus], strict=True):
        assert row == pytest.approx(want, rel=1e-5)


def test_a_tiny_top_p_keeps_the_likeliest() -> None:
    probs = probabilities(torch.tensor([[0.0, 3.0, 1.0]]), [Sampling(1.0, top_p=1e-9)])
    assert probs.tolist() == [[0.0, 1.0, 0.0]]


def test_choice_inverts_the_cumulative_distribution_and_never_takes_the_impossible() -> None:
    probs = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).expand(5, 5)
    lucks = torch.tensor([0.0, 0.2499, 0.25, 0.9, 1.0 - 2.0**-40], dtype=torch.float64)
    assert choose(probs, lucks).tolist() == [1, 1, 3, 3, 3]
    assert choose(7 * probs, lucks).tolist() == [1, 1, 3, 3, 3]  # scaled or not


def test_luck_is_even_and_differs_by_seed_place_and_purpose() -> None:
    numbers = [
        luck(Sampling(1.0, seed=seed), token, decides)
        for seed in range(20)
        for token in range(100)
        for decides in (CHOICE, ACCEPT, DRAFT)
    ]
    assert len(set(numbers)) == 6000
    counts = torch.histc(torch.tensor(numbers), bins=20, min=0, max=1)
    assert ((counts - 300) ** 2 / 300).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (Sampling(temperature=-1), "temperature is -1"),
        (Sampling(temperature=math.nan), "temperature is nan"),
        (Sampling(temperature=math.inf), "temperature is inf"),
        (Sampling(top_p=0), "top_p is 0"),
        (Sampling(top_p=1.5), r"top_p is 1\.5"),
    ],
)
def test_impossible_sampling_is_refused(sampling: Sampling, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sampling.check()
