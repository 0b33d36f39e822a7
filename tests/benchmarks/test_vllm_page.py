"""The page of the run against vLLM: what holds, by the target or by the difference between replays."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks._vllm_page import pairs, pairs_of, section


def figures(ttft_s: float, tpot_s: float = 0.02, e2e_s: float = 1.0) -> dict[str, Any]:
    def same(value: float) -> dict[str, float]:
        return {"p50": value, "p90": 2 * value, "p99": 3 * value}

    return {
        "ttft_s": same(ttft_s), "tpot_s": same(tpot_s), "itl_s": same(tpot_s), "e2e_s": same(e2e_s),
        "output_tokens_per_s": 10.0, "load_s": 0.0, "acceptance_length": 1.0, "answered": 5, "asked": 5,
    }  # fmt: skip


def result(replays: tuple[float, float], predicted: float) -> dict[str, Any]:
    case = {
        "name": "one",
        "requests": 5,
        "slowness": [1.0, 1.2],
        "foreseen": figures(predicted),
        "predicted": [figures(predicted / 1.1)],
        "replays": [figures(value) for value in replays],
    }
    return {
        "version": "0", "device": "d", "created": "2026-01-02T03:04:05+00:00", "took_s": 9,
        "load_average": {"before": 0.1, "after": 0.2}, "cases": [case],
    }  # fmt: skip


def test_errors_are_of_the_median_replay_and_the_target_is_per_percentile() -> None:
    found = {pair.figure: pair for pair in pairs_of(result((0.10, 0.10), 0.115)["cases"][0])}
    assert found["ttft p50"].error == pytest.approx(0.15)
    assert found["ttft p50"].adjusted_error == pytest.approx(0.15 / 1.1 - 0.1 / 1.1)
    assert not found["ttft p50"].holds
    assert found["ttft p99"].holds
    assert found["tpot p50"].holds


def test_replays_that_differ_allow_more_and_the_page_says_how_many_needed_it() -> None:
    noisy = result((0.10, 0.12), 0.13)
    pair = next(pair for pair in pairs_of(noisy["cases"][0]) if pair.figure == "ttft p50")
    assert pair.noise == pytest.approx(1 / 6)  # a replay over the next, less one
    assert pair.holds
    text = section(noisy)
    assert "9 of 9 figures hold, 8 of them by the target itself" in text
    assert "| one | 5 | 1.10 |" in text
    assert "**+15 %**" in section(result((0.10, 0.10), 0.115))
    assert pairs(noisy).splitlines()[1] == "one,ttft p50,0.13,0.11,0.18182,0.07438,0.16667,1"
