"""The table of a server known from outside, and its pairs as CSV (`validate_vllm_cpu`, `_llama_cpp`)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks._page import table
from calibration.validate.compare import Figures, errors, median_figures
from calibration.validate.verdict import noise_floor

ALLOWED: Final = {"p50": 0.10, "p90": 0.20, "p99": 0.20}
NOISE_FACTOR: Final = 1.5


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of one case."""

    case: str
    figure: str
    predicted: float
    measured: float
    error: float
    adjusted_error: float  # of the prediction for a machine as slow as beside the replays
    noise: float

    @property
    def target(self) -> float:
        """What an idle machine is held to."""
        return ALLOWED[self.figure.split()[-1]]

    @property
    def allowed(self) -> float:
        """The target, or 1.5 times the difference between replays."""
        return max(self.target, NOISE_FACTOR * self.noise)

    @property
    def holds(self) -> bool:
        """Within it."""
        return abs(self.error) <= self.allowed


def pairs_of(case: dict[str, Any]) -> list[Pair]:
    """TTFT, TPOT and E2E at three percentiles."""
    replays = [Figures.model_validate(one) for one in case["replays"]]
    adjusted = median_figures([Figures.model_validate(one) for one in case["predicted"]])
    measured, predicted = median_figures(replays), Figures.model_validate(case["foreseen"])
    noise, off, at_speed = noise_floor(replays), errors(predicted, measured), errors(adjusted, measured)
    found = []
    for latency in ("ttft", "tpot", "e2e"):
        for name in ALLOWED:
            key = f"{latency} {name}"
            left, right = (getattr(one, f"{latency}_s")[name] for one in (predicted, measured))
            found.append(Pair(case["name"], key, left, right, off[key], at_speed[key], noise.get(key, 0.0)))
    return found


def pairs(found: dict[str, Any]) -> str:
    """All of them as CSV, seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["case", "figure", "predicted_s", "measured_s", "error", "adjusted_error", "noise", "holds"]
    )
    for case in found["cases"]:
        for pair in pairs_of(case):
            numbers = (pair.predicted, pair.measured, pair.error, pair.adjusted_error, pair.noise)
            writer.writerow([pair.case, pair.figure, *(f"{n:.5g}" for n in numbers), int(pair.holds)])
    return text.getvalue()


def section(found: dict[str, Any], server: str = "vLLM") -> str:
    """A row a case: predicted over measured, less one; what does not hold is bold."""
    cases = [(case, pairs_of(case)) for case in found["cases"]]
    every = [pair for _, of_case in cases for pair in of_case]
    names = [pair.figure.split() for pair in cases[0][1]]
    head = [
        "server",
        "requests",
        "slowness",
        *(f"{latency.upper()} {name}" for latency, name in names),
    ]
    rows = []
    for case, of_case in cases:
        slow = f"{float(np.mean(case['slowness'])):.2f}"
        cells = [f"{100 * pair.error:+.0f} %" for pair in of_case]
        cells = [cell if pair.holds else f"**{cell}**" for cell, pair in zip(cells, of_case, strict=True)]
        rows.append([case["name"], str(case["requests"]), slow, *cells])
    load = found["load_average"]
    off, adjusted = ([abs(getattr(p, name)) for p in every] for name in ("error", "adjusted_error"))
    first = (
        f"{server} {found['version']} on {found['device']}, {found['created'][:10]}, {found['took_s']} s; "
        f"load average {load['before']:.1f} before and {load['after']:.1f} after. "
        f"{sum(p.holds for p in every)} of {len(every)} figures hold, "
        f"{sum(abs(p.error) <= p.target for p in every)} of them by the target itself; the others by the "
        f"difference between replays, in the median {float(np.median([p.noise for p in every])):.0%}. Median "
        f"absolute error {float(np.median(off)):.1%}, with the slowness {float(np.median(adjusted)):.1%}."
    )
    return f"{first}\n\n{table(head, rows)}"
