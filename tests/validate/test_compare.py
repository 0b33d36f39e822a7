"""Comparison, noise floor and choice against known truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from advisor.replayed import OK, ReplayHeader, ReplayResult
from calibration.validate.compare import (
    SHARES,
    Figures,
    curves,
    distance,
    distances,
    errors,
    figures_of,
    median_figures,
)
from calibration.validate.verdict import cells_of, decide, noise_floor


def replayed(scale: float = 1.0, seed: int = 0, count: int = 400, load_s: float = 0.5) -> ReplayResult:
    """Requests 1 s apart; times from arrival are multiplied by `scale`. Answers of 2 to 20 tokens."""
    random = np.random.default_rng(seed)
    tokens = random.integers(2, 21, count)
    arrival = np.arange(count, dtype=np.float64)
    first, gap = random.uniform(0.05, 0.2, count), random.uniform(0.005, 0.01, count)
    chunks = [
        a + scale * (f + g * np.arange(n)) for a, f, g, n in zip(arrival, first, gap, tokens, strict=True)
    ]
    zeros = np.zeros(count, dtype=np.int64)
    return ReplayResult(
        ReplayHeader(
            created=datetime(2026, 11, 27, tzinfo=UTC), producer="tests", target="builtin", engine="builtin",
            model="none", trace="made", counters={"load_s": scale * load_s},
        ),
        arrival_s=arrival,
        sent_s=arrival,
        scheduled_s=arrival,
        first_token_s=np.array([times[0] for times in chunks]),
        last_token_s=np.array([times[-1] for times in chunks]),
        prompt_tokens=zeros + 7,
        wanted_tokens=tokens,
        output_tokens=tokens,
        adapter=zeros - 1,
        status=np.array([OK] * count),
        preemptions=zeros,
        cached_tokens=zeros,
        verify_steps=tokens - 1,
        chunk_offsets=np.concatenate([[0], np.cumsum(tokens)]),
        chunk_s=np.concatenate(chunks),
        chunk_tokens=np.ones(int(tokens.sum()), dtype=np.int64),
    )  # fmt: skip


def test_a_run_does_not_differ_from_itself() -> None:
    one = replayed()
    assert set(errors(figures_of(one), figures_of(one)).values()) == {0.0}
    for found in distances(one, one).values():
        assert (found.kolmogorov_smirnov, found.wasserstein) == (0.0, 0.0)


def test_a_run_that_is_a_tenth_slower_errs_by_a_tenth_in_every_latency() -> None:
    found = errors(figures_of(replayed(1.1)), figures_of(replayed()))
    latencies = {
        name: value for name, value in found.items() if name.split()[0] in ("ttft", "tpot", "itl", "e2e")
    }
    assert len(latencies) == 12
    assert list(latencies.values()) == pytest.approx([0.1] * 12)
    assert found["adapter loads"] == pytest.approx(0.1)
    assert abs(found["throughput"]) < 1e-3, "requests come at their own times: the end hardly moves"
    for far in distances(replayed(1.1), replayed()).values():
        assert far.wasserstein == pytest.approx(0.1)
        assert 0.0 < far.kolmogorov_smirnov < 1.0


def test_only_answered_requests_count() -> None:
    one = replayed()
    status = one.status.copy()
    status[:100] = "timeout"
    lost = replace(one, status=status.astype(np.str_))
    found = figures_of(lost)
    assert (found.answered, found.asked) == (300, 400)
    assert found.ttft_s["p50"] == pytest.approx(float(np.median(one.ttft_s[100:])))
    whole = figures_of(one).output_tokens_per_s
    assert found.output_tokens_per_s / whole == pytest.approx(
        one.output_tokens[100:].sum() / one.output_tokens.sum()
    )


def test_throughput_is_tokens_over_the_time_to_the_last_one() -> None:
    one = replayed()
    expected = one.output_tokens.sum() / one.last_token_s.max()
    assert figures_of(one).output_tokens_per_s == pytest.approx(float(expected))


def test_distances_of_samples_without_overlap_and_of_nothing() -> None:
    low, high = np.array([1.0, 2.0]), np.array([5.0, 6.0])
    assert distance(low, high).kolmogorov_smirnov == 1.0
    assert distance(low, high).wasserstein == pytest.approx(4.0 / 5.5)
    assert distance(np.zeros(0), high).kolmogorov_smirnov == 1.0


def test_curves_are_the_quantiles_of_each_run() -> None:
    one, other = replayed(), replayed(2.0)
    found = curves(one, [other])["e2e"]
    assert len(found.predicted_s) == len(SHARES)
    assert found.predicted_s[20] == pytest.approx(float(np.median(one.e2e_s)))
    np.testing.assert_allclose(found.replays_s[0], 2.0 * np.array(found.predicted_s), rtol=1e-9)


def some(p50: float, p99: float = 1.0, throughput: float = 100.0) -> Figures:
    latency = {"p50": p50, "p90": p99, "p99": p99}
    return Figures(
        ttft_s=latency, tpot_s=latency, itl_s=latency, e2e_s=latency, output_tokens_per_s=throughput,
        load_s=0.0, acceptance_length=1.0, answered=9, asked=9,
    )  # fmt: skip


def test_the_median_of_replays_is_taken_figure_by_figure() -> None:
    middle = median_figures([some(1.0), some(30.0), some(3.0)])
    assert (middle.ttft_s["p50"], middle.ttft_s["p99"], middle.output_tokens_per_s) == (3.0, 1.0, 100.0)


def test_the_noise_floor_is_the_mean_over_pairs_and_none_without_a_pair() -> None:
    assert noise_floor([some(1.0)]) == {}
    found = noise_floor([some(1.2), some(1.0), some(1.0)])
    assert found["ttft p50"] == pytest.approx((0.2 + 0.2 + 0.0) / 3)
    assert found["ttft p99"] == 0.0


@pytest.mark.parametrize(
    ("predicted", "replays", "holds"),
    [
        (1.04, [1.0, 1.0], True),  # within 5 %
        (1.06, [1.0, 1.0], False),
        (0.94, [1.0, 1.0], False),
        (1.13, [1.05, 0.95], True),  # noise 10.5 %: 15.8 % are allowed
        (1.17, [1.05, 0.95], False),
    ],
)
def test_a_cell_holds_within_its_limit_or_within_the_noise(
    predicted: float, replays: list[float], *, holds: bool
) -> None:
    measured = [some(value) for value in replays]
    cells = {cell.name: cell for cell in cells_of(some(predicted), median_figures(measured), measured)}
    assert cells["e2e p50"].holds is holds
    assert cells["e2e p99"].holds
    assert cells["throughput"].allowed == 0.03


def test_the_choice_its_regret_and_when_it_is_right() -> None:
    wrong = decide({"a": 1.0, "b": 2.0}, {"a": [1.3, 1.1], "b": [1.1, 0.9]}, "e2e p90")
    assert (wrong.chosen, wrong.best, wrong.right) == ("a", "b", False)
    assert wrong.regret == pytest.approx(0.2)
    assert decide({"a": 1.0, "b": 2.0}, {"a": [1.0], "b": [1.2]}, "e2e p90").regret == 0.0
    equal = decide({"a": 1.0, "b": 2.0}, {"a": [1.005], "b": [1.0]}, "e2e p90")
    assert equal.right, "measurement cannot tell half a per cent"
    mixed = decide({"a": 1.0, "b": 2.0}, {"a": [1.3, 1.0], "b": [1.1, 1.05]}, "e2e p90")
    assert (mixed.best, mixed.told_apart, mixed.right) == ("b", False, True)
