"""Predicted beside measured, and measured beside fitted: contracts, tables, charts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.fitted import DriftCheck, DriftRow, Fitted, FittedPoint, FittedStep
from advisor.held import Held, held_of
from advisor.inside.phases import Bar, Phases
from advisor.inside.states import QUANTITIES, States
from advisor.plots import held as plots
from advisor.plots import inside as inside_plots
from advisor.plots.data import rows_of
from advisor.profile import shipped_profile
from advisor.tables import held as tables
from advisor.tables.known import profile_terms
from tests.web.test_measuring_pages import report

ROWS = (
    Held("a", "TTFT p50", "s", 0.1, 0.104, 0.05, 0.01),
    Held("a", "TTFT p99", "s", 0.2, 0.3, 0.1, 0.02),
    Held("a", "throughput", "tokens/s", 100.0, 99.0, 0.03, 0.0),
)
FITTED = Fitted(
    profile="mine",
    points=tuple(
        FittedPoint(term="dense", curve="", x=x, measured_s=x * 1e-4, fitted_s=x * 1.1e-4) for x in (1, 8, 64)
    ),
    steps=(
        FittedStep(kind="decodes", tokens=4, seen=True, measured_s=0.01, predicted_s=0.011),
        FittedStep(kind="prompts", tokens=64, seen=False, measured_s=0.05, predicted_s=0.04),
    ),
)


def test_a_validations_cells_become_figures_with_their_limits() -> None:
    first, second = held_of(report(), "report.json")
    assert (first.run, first.figure) == ("8 adapters, Zipf: multi-lora", "TTFT p50")
    assert (first.measured, first.predicted, first.allowed) == (0.1, 0.102, 0.05)
    assert first.error == pytest.approx(0.02)
    assert first.holds is True
    assert second.holds is False


def test_a_comparison_has_no_limits_and_leaves_out_what_was_not_measured() -> None:
    cells: list[dict[str, Any]] = [
        {"figure": "TTFT p50", "unit": "s", "measured": 0.1, "predicted": 0.2},
        {"figure": "ITL p50", "unit": "s", "measured": 0.0, "predicted": 0.2},
    ]
    raw = {"schema_version": 1, "profile": "x", "runs": [{"measured": {"name": "r"}, "cells": cells}]}
    (only,) = held_of(raw, "x")
    assert only.holds is None
    assert tables.verdict([only]).startswith("1 figure; the largest error is +100.0%")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "is no result of a comparison"),
        ({"schema_version": 2, "cases": []}, "schema_version"),
        ({"schema_version": 1, "cases": [{"name": "", "options": []}]}, "name"),
        ({"schema_version": 1, "runs": [{"measured": {"name": "r"}, "cells": [{"figure": 3}]}]}, "figure"),
    ],
)
def test_what_is_no_result_is_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        held_of(raw, "upload")


def test_the_table_and_the_sentence_say_what_does_not_hold() -> None:
    table = tables.held(ROWS)
    assert [row[-1] for row in table.rows] == ["yes", "no", "yes"]
    assert [table.mark(i) for i in range(3)] == ["", "bad", ""]
    assert tables.verdict(ROWS) == "2 of 3 figures hold. The farthest off: TTFT p99 of a, +50.0%."


def test_on_a_noisy_machine_the_sentence_says_that_holding_says_little() -> None:
    noisy = [Held("a", "TTFT p50", "s", 0.1, 0.19, 1.2, 0.8), Held("a", "TTFT p99", "s", 0.1, 0.1, 0.6, 0.4)]
    said = tables.verdict(noisy)
    assert said.startswith("2 of 2 figures hold. Two replays of the same differ by 60%")
    assert "says little" in said


def test_drift_is_judged_by_each_rows_own_allowance() -> None:
    rows = (
        DriftRow(operation="dense", points=6, ratio=1.2, allowed=0.15),
        DriftRow(operation="lora", points=6, ratio=0.8, allowed=0.3),
    )
    assert [row[-1] for row in tables.drift(DriftCheck(rows=rows)).rows] == ["no", "yes"]


def test_provenance_counts_every_term_once() -> None:
    profile = shipped_profile("h100_sxm-vllm")
    said = tables.provenance(profile)
    count = len(profile_terms(profile).rows)
    assert f"Of {count} terms" in said
    numbers = [int(word) for word in said.split(": ")[1].replace(",", "").split() if word.isdigit()]
    assert sum(numbers) == count


def test_charts_are_valid_and_hold_what_they_are_given() -> None:
    import numpy as np

    edges = np.linspace(0.0, 10.0, 6)
    columns = {name: np.arange(5.0) for name in QUANTITIES}
    states = States(edges, columns, columns, columns)
    bars = tuple(Bar(0, "a", "decoding", start, stop) for start, stop in pairwise((1.0, 3.0, 8.0)))
    charts = {
        "held": plots.held(ROWS),
        "steps": plots.steps(FITTED),
        "term": plots.term(FITTED, "dense"),
        "intervals": plots.intervals(shipped_profile("h100_sxm-vllm")),
        "batch": inside_plots.batch(states, 256),
        "kv": inside_plots.kv_cache(states),
        "adapters": inside_plots.adapters(states, 4),
        "overview": inside_plots.overview(states),
        "gantt": inside_plots.gantt(Phases(bars, 1, 1), 2.0, 5.0),
    }
    for chart in charts.values():
        chart.to_dict()  # validates
    latencies = [row for row in rows_of(charts["held"]) if "verdict" in row]
    assert [row["verdict"] for row in latencies] == ["holds", "does not hold"]
    drawn = rows_of(charts["gantt"])
    assert [(row["from_s"], row["to_s"]) for row in drawn] == [(2.0, 3.0), (3.0, 5.0)]
    assert any("in no fit" in row.get("kind", "") for row in rows_of(charts["steps"]))
    assert {row["limit"] for row in rows_of(charts["adapters"]) if "limit" in row} == {4.0}
