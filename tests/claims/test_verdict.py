"""The rules of the verdicts, by known truth."""

from __future__ import annotations

import pytest

from calibration.claims.result import Row, row
from calibration.claims.verdict import Rule, above, below, outcome, verdict, within


def ratio(*measured: float, simulated: float = 1.0) -> Row:
    return row("s", "TPOT ratio", simulated, measured, judged=True)


@pytest.mark.parametrize(
    ("rule", "measured", "says"),
    [
        (above(1.0), (1.1, 1.2, 1.3), "yes"),
        (above(1.0), (0.9, 1.2, 1.3), "open"),
        (above(1.0), (0.7, 0.8, 0.9), "no"),
        (below(1.15), (1.0, 1.1, 1.14), "yes"),
        (below(1.15), (1.1, 1.1, 1.2), "open"),
        (below(1.15), (1.2, 1.3, 1.4), "no"),
        (within(1.1, 1.3), (1.0, 1.2, 1.4), "yes"),
        (within(1.1, 1.3), (1.0, 1.05, 1.2), "open"),
        (within(1.1, 1.3), (1.31, 1.4, 1.5), "no"),
        (within(1.1, 1.3), (0.9, 1.0, 1.05), "no"),
    ],
)
def test_a_figure_says_yes_or_no_only_where_its_repeats_agree(
    rule: Rule, measured: tuple[float, ...], says: str
) -> None:
    assert rule(ratio(*measured)).says == says


SAYS = {
    "yes": above(1.0)(ratio(2.0)),
    "no": above(1.0)(ratio(0.5)),
    "open": above(1.0)(ratio(0.5, 2.0)),
}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("yes yes", "holds"),
        ("yes open", "holds"),
        ("yes open open", "holds within limits"),
        ("yes yes no", "holds within limits"),
        ("open open", "does not hold here"),
        ("no open", "does not hold here"),
    ],
)
def test_a_verdict_by_hand(said: str, expected: str) -> None:
    assert verdict([SAYS[one] for one in said.split()]) == expected


def test_the_simulation_is_judged_by_the_same_rule_and_unjudged_rows_decide_nothing() -> None:
    rows = [ratio(1.2, 1.3, 1.4, simulated=0.8), row("s", "TPOT", 5.0, [4.0], unit="ms")]
    found = outcome(rows, lambda _row: above(1.0), why="w", where_it_stops="n")
    assert (found.verdict, found.simulated_verdict) == ("holds", "does not hold here")
    assert len(found.findings) == 1


def test_a_row_has_median_range_and_simulated_over_measured() -> None:
    one = row("s", "TTFT", 6.0, [5.0, 3.0, 4.0], unit="ms", x=2.0)
    assert (one.measured, one.low, one.high, one.repeats, one.ratio) == (4.0, 3.0, 5.0, 3, 1.5)
    assert row("s", "load", 1.0, [0.0]).ratio is None
