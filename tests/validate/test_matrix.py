"""The matrix covers what it must, and its traces are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.validate.matrix import CASES, trace_of


def test_the_matrix_covers_every_kind_of_scenario() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 10
    assert all(2 <= len(case.options) <= 4 for case in CASES)
    loads = [case.load for case in CASES]
    assert min(loads) <= 0.3
    assert 0.8 <= max(loads) <= 0.85, "the figures are promised below 85 %"
    assert {0, 1, 8, 64} <= {case.adapters for case in CASES}
    even_and_skewed = {case.zipf > 0 for case in CASES if case.adapters > 1}
    assert even_and_skewed == {True, False}
    assert any(not case.warm for case in CASES)
    options = [option for case in CASES for option in case.options]
    assert any(option.merged for option in options)
    assert {option.draft for option in options} >= {"", "ngram", "stock"}
    assert any(case.adapters > (option.max_loras or 99) for case in CASES for option in case.options), (
        "thrash"
    )
    assert max(case.prompt_tokens for case in CASES) >= 4 * min(case.prompt_tokens for case in CASES)


def test_a_trace_has_the_rate_lengths_and_popularity_of_its_scenario() -> None:
    case = replace(CASES[5], adapters=8, zipf=1.2, prompt_tokens=48, output_tokens=32)
    trace = trace_of(case, 100.0, 60.0, 512, seed=3)
    assert len(trace) == pytest.approx(6000, rel=0.05)
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert 0 <= trace.arrival_s[0] <= trace.arrival_s[-1] < 60.0
    assert np.median(trace.prompt_tokens) == pytest.approx(48, rel=0.05)
    assert np.median(trace.output_tokens) == pytest.approx(32, rel=0.05)
    assert int((trace.prompt_tokens + trace.output_tokens).max()) <= 512
    shares = np.bincount(trace.adapter, minlength=8) / len(trace)
    expected = (np.arange(8) + 1.0) ** -1.2
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.02)
    again = trace_of(case, 100.0, 60.0, 512, seed=3)
    np.testing.assert_array_equal(again.arrival_s, trace.arrival_s)
    assert not np.array_equal(
        trace_of(case, 100.0, 60.0, 512, seed=4).prompt_tokens[:50], trace.prompt_tokens[:50]
    )
