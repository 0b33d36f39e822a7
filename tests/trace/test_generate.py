"""Generated traces follow their laws; a change to one law leaves the other columns as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.spec.workload import (
    AdapterStream,
    Arrivals,
    DiurnalArrivals,
    FixedLength,
    GammaArrivals,
    Generator,
    LognormalLength,
    OnOffArrivals,
    PoissonArrivals,
    QuantileLength,
    SharedPrefix,
    Streams,
    UniformLength,
)
from advisor.trace.assign import assign, zipf_shares
from advisor.trace.describe import dispersion, gap_cv
from advisor.trace.generate import generate, generate_streams
from advisor.trace.lengths import lengths
from advisor.trace.prefixes import hit_ratio
from advisor.trace.trace import Trace
from tests.trace.strategies import same, traces

POISSON = PoissonArrivals(kind="poisson", rate="20 req/s")  # type: ignore[arg-type]


def law(arrivals: Arrivals = POISSON, duration: float = 1000.0, **more: Any) -> Generator:
    return Generator(
        kind="generator",
        arrivals=arrivals,
        prompt_tokens=more.pop("prompt", LognormalLength(kind="lognormal", median=500.0, p95=3000.0)),
        output_tokens=UniformLength(kind="uniform", low=1, high=100),
        duration=f"{duration}s",  # type: ignore[arg-type]
        **more,
    )


def gamma(cv: float, rate: float = 20.0) -> GammaArrivals:
    return GammaArrivals(kind="gamma", rate=f"{rate} req/s", cv=cv)  # type: ignore[arg-type]


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_gamma_gaps_have_the_rate_and_the_variation_asked_for(cv: float) -> None:
    trace = generate(law(gamma(cv)), seed=1)
    assert gap_cv(trace.arrival_s) == pytest.approx(cv, rel=0.1)
    spread = 4 * cv * np.sqrt(20_000)  # the count's standard deviation is cv · √mean
    assert abs(len(trace) - 20_000) < spread + 5


def test_a_short_bursty_stretch_has_the_mean_rate_from_the_start() -> None:
    """Without the length-biased first gap, (cv² - 1) / 2 = 12 requests too many come: 22 for 10."""
    counts = [len(generate(law(gamma(5.0, rate=1.0), duration=10.0), seed=seed)) for seed in range(1000)]
    assert np.mean(counts) == pytest.approx(10.0, abs=4 * np.std(counts) / np.sqrt(1000))


def test_on_off_arrivals_burst_at_the_mean_rate() -> None:
    arrivals = OnOffArrivals(kind="on-off", rate_on="40 req/s", mean_on="1s", mean_off="1s")  # type: ignore[arg-type]
    trace = generate(law(arrivals), seed=1)
    assert len(trace) / 1000 == pytest.approx(20, rel=0.1)
    assert (dispersion(trace.arrival_s, 1.0) or 0) > 5


def test_diurnal_arrivals_peak_where_they_should() -> None:
    arrivals = DiurnalArrivals(
        kind="diurnal",
        mean_rate="20 req/s",  # type: ignore[arg-type]
        amplitude=1.0,
        period="500s",  # type: ignore[arg-type]
        peak_at=100.0,
    )
    trace = generate(law(arrivals), seed=1)
    assert len(trace) == pytest.approx(20_000, rel=0.03)
    phase = np.bincount((trace.arrival_s % 500 // 50).astype(int), minlength=10) / 100
    expected = [20 * (1 + np.cos(2 * np.pi * (50 * k + 25 - 100) / 500)) for k in range(10)]
    np.testing.assert_allclose(phase, expected, atol=2.5)


def test_lengths_follow_their_law() -> None:
    uniform = (np.arange(100_000) + 0.5) / 100_000
    lognormal = lengths(LognormalLength(kind="lognormal", median=500.0, p95=3000.0, maximum=9000), uniform)
    assert np.quantile(lognormal, (0.5, 0.95)).tolist() == pytest.approx([500, 3000], abs=1)
    assert lognormal.max() == 9000
    evenly = lengths(UniformLength(kind="uniform", low=3, high=5), uniform)
    assert np.unique(evenly, return_counts=True)[1].tolist() == pytest.approx([33_333] * 3, abs=1)
    table = QuantileLength(kind="quantiles", probabilities=(0.0, 0.5, 1.0), tokens=(0.0, 10.0, 10.0))
    assert lengths(table, np.array([0.0, 0.25, 0.75])).tolist() == [1, 5, 10]
    assert lengths(FixedLength(kind="fixed", tokens=7), uniform[:2]).tolist() == [7, 7]


@given(seed=st.integers(0, 2**63 - 1))
@settings(max_examples=10)
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(seed: int) -> None:
    prefix = SharedPrefix(tokens=64, groups_per_adapter=2, share=0.5)
    one, two, other = (
        generate(law(duration=20.0, shared_prefix=prefix), ("a", "b"), (2, 1), base_share=0.1, seed=s)
        for s in (seed, seed, seed ^ 1)
    )
    assert same(one, two)
    assert not same(one, other)


def test_a_higher_rate_meets_the_same_lengths_and_adapters() -> None:
    slow = generate(law(duration=100.0), ("a", "b"), (2, 1), seed=3)
    fast = generate(
        law(PoissonArrivals(kind="poisson", rate="40 req/s"), duration=100.0),  # type: ignore[arg-type]
        ("a", "b"),
        (2, 1),
        seed=3,
    )
    n = len(slow)
    assert len(fast) > 1.5 * n
    np.testing.assert_allclose(slow.arrival_s, fast.arrival_s[:n] * 2)
    for column in ("prompt_tokens", "output_tokens", "adapter"):
        assert np.array_equal(getattr(slow, column), getattr(fast, column)[:n])


def test_another_law_of_one_column_leaves_the_others() -> None:
    one = generate(law(duration=50.0), ("a", "b"), (2, 1), seed=3)
    two = generate(law(duration=50.0, prompt=FixedLength(kind="fixed", tokens=9)), ("a", "b"), (1, 5), seed=3)
    assert np.array_equal(one.arrival_s, two.arrival_s)
    assert np.array_equal(one.output_tokens, two.output_tokens)
    assert not np.array_equal(one.adapter, two.adapter)


def test_shared_prefixes_belong_to_one_adapter_and_group() -> None:
    prefix = SharedPrefix(tokens=100, groups_per_adapter=3, share=0.5)
    fixed = FixedLength(kind="fixed", tokens=200)
    trace = generate(law(duration=100.0, shared_prefix=prefix, prompt=fixed), ("a", "b"), (1, 1), seed=0)
    assert trace.prefixes is not None
    blocks = np.diff(trace.prefixes.offsets)
    assert set(blocks.tolist()) == {0, 6}  # 100 // 16 whole blocks
    assert np.mean(blocks > 0) == pytest.approx(0.5, abs=0.05)
    first = trace.prefixes.ids[trace.prefixes.offsets[:-1][blocks > 0]]
    owners = {(int(i), int(a)) for i, a in zip(first, trace.adapter[blocks > 0], strict=True)}
    assert len(owners) == len({i for i, _ in owners}) == 6
    assert hit_ratio(trace) == pytest.approx(0.5 * 96 / 200, abs=0.02)


def test_streams_keep_their_own_rates_lengths_and_prefixes() -> None:
    def stream(name: str, rate: int, tokens: int) -> AdapterStream:
        return AdapterStream(
            adapter=name,
            arrivals=PoissonArrivals(kind="poisson", rate=f"{rate} req/s"),  # type: ignore[arg-type]
            prompt_tokens=FixedLength(kind="fixed", tokens=tokens),
            output_tokens=FixedLength(kind="fixed", tokens=1),
            shared_prefix=SharedPrefix(tokens=32) if name != "base" else None,
        )

    streams = (stream("law", 2, 40), stream("base", 4, 50), stream("sql", 6, 60))
    trace = generate_streams(Streams(kind="streams", streams=streams, duration="1000s"), seed=1)  # type: ignore[arg-type]
    assert trace.adapters == ("law", "sql")
    for index, rate, tokens in ((0, 2, 40), (-1, 4, 50), (1, 6, 60)):
        mine = trace.adapter == index
        assert mine.sum() == pytest.approx(1000 * rate, rel=0.1)
        assert set(trace.prompt_tokens[mine].tolist()) == {tokens}
    assert trace.prefixes is not None
    held = np.diff(trace.prefixes.offsets)
    assert set(held[trace.adapter == -1].tolist()) == {0}
    assert len(np.unique(trace.prefixes.ids)) == 4


def test_too_many_requests_are_refused() -> None:
    with pytest.raises(InputError, match="at most 20,000,000"):
        generate(law(duration=1e9), seed=0)


@given(trace=traces(), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_assignment_changes_the_adapters_alone(trace: Trace, seed: int) -> None:
    given_to = assign(trace, ("x", "y"), (3, 1), base_share=0.2, seed=seed)
    assert given_to.adapters == ("x", "y")
    for column in ("arrival_s", "prompt_tokens", "output_tokens", "priority", "prefixes"):
        assert getattr(given_to, column) is getattr(trace, column)


def test_assignment_follows_the_shares() -> None:
    trace = generate(law(), seed=0)
    shares = zipf_shares(3, 1.0)
    assert shares == pytest.approx((6 / 11, 3 / 11, 2 / 11))
    adapter = assign(trace, ("a", "b", "c"), shares, base_share=0.25, seed=5).adapter
    got = np.bincount(adapter + 1) / len(trace)
    np.testing.assert_allclose(got, [0.25, *(0.75 * s for s in shares)], atol=0.015)
    assert not (assign(trace, ("a", "b"), (0, 1), seed=5).adapter == 0).any()


@pytest.mark.parametrize("shares", [(1,), (1, -1), (0, 0), (float("nan"), 1)])
def test_bad_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="shares"):
        assign(generate(law(duration=1.0), seed=0), ("a", "b"), shares, seed=0)
