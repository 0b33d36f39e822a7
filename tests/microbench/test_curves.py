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


def test_intervals_hold_the_value_and_widen_with_noise() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(1, 10, 60)
    widths = []
    for noise in (0.01, 0.2):
        y = (2 + 3 * x) * random.normal(1, noise, 60).clip(0.3)
        fit = fit_non_negative({"fixed": np.ones(60), "each": x}, y, resamples=50)
        assert fit.low["each"] < 3 < fit.high["each"]
        widths.append(fit.high["each"] - fit.low["each"])
        assert spans(fit, ("each", "absent")).startswith("each ")
    assert widths[1] > 3 * widths[0]
