"""Pictures and intervals of terms, on samples whose terms are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from calibration.fit import fit_non_negative
from calibration.microbench.curves import curves, decode_rows, dense_rows, lora_rows
from calibration.microbench.terms import Mark, micro_terms, spans
from tests.microbench.test_microbench import SHAPE, synthetic


def test_lines_go_through_points_that_follow_the_terms() -> None:
    samples = synthetic()
    terms = micro_terms(samples, Mark("made up", SHAPE))
    for rows in (dense_rows(samples, terms), decode_rows(samples, terms), lora_rows(samples, terms, SHAPE)):
        assert len(rows) >= 4
        assert [row["fitted_ms"] for row in rows] == pytest.approx([r["measured_ms"] for r in rows], rel=0.05)
    drawn = curves(samples, SHAPE).to_dict()
    titles = [part["title"].split(":")[0] for part in drawn["vconcat"]]
    assert titles == ["Dense and head", "Decode attention", "LoRA"]


def test_intervals_hold_the_truth_about_as_often_as_they_say_and_widen_with_noise() -> None:
    random = np.random.default_rng(0)
    widths, held, said = {0.01: 0.0, 0.1: 0.0}, 0, {}
    for noise in widths:
        for _ in range(10):
            x = random.uniform(1, 10, 60)
            y = (2 + 3 * x) * random.normal(1, noise, 60)
            fit = fit_non_negative({"fixed": np.ones(60), "each": x}, y, resamples=30)
            held += fit.low["each"] < 3 < fit.high["each"]
            widths[noise] += fit.high["each"] - fit.low["each"]
            each = f"each {fit.values['each']:.3g} ({fit.low['each']:.3g} to {fit.high['each']:.3g})"
            said[spans(fit, ("each", "absent"))] = each
    assert held >= 13  # 18 of 20 are expected of 90 %
    assert widths[0.1] > 5 * widths[0.01]
    assert all(text == expected for text, expected in said.items())
