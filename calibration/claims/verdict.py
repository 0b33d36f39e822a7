"""The rules: from figures to yes, no or open, and from these to a verdict.

A figure says yes or no only where all repeats agree; what straddles the limit is open.

    holds                at least half say yes, none says no
    holds within limits  some say yes, and some say no, or more than half are open
    does not hold here   none says yes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from calibration.claims.result import Finding, Outcome, Row, Verdict

Rule = Callable[[Row], Finding]
_Says = Literal["yes", "no", "open"]


def above(limit: float) -> Rule:
    """Yes where every repeat lies above the limit, no where every one lies below."""

    def rule(row: Row) -> Finding:
        says: _Says = "yes" if row.low > limit else "no" if row.high < limit else "open"
        return Finding(says=says, of=f"{_name(row)} above {limit:g}")

    return rule


def below(limit: float) -> Rule:
    """Yes where every repeat lies below the limit, no where every one lies above."""

    def rule(row: Row) -> Finding:
        says: _Says = "yes" if row.high < limit else "no" if row.low > limit else "open"
        return Finding(says=says, of=f"{_name(row)} below {limit:g}")

    return rule


def within(low: float, high: float) -> Rule:
    """Yes where the median lies in the range, no where every repeat lies outside on one side."""

    def rule(row: Row) -> Finding:
        outside = row.high < low or row.low > high
        says: _Says = "yes" if low <= row.measured <= high else "no" if outside else "open"
        return Finding(says=says, of=f"{_name(row)} within {low:g} to {high:g}")

    return rule


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The verdict of all findings; the module's docstring has the rule."""
    said = [finding.says for finding in findings]
    if "yes" not in said:
        return "does not hold here"
    if "no" in said or 2 * said.count("yes") < len(said):
        return "holds within limits"
    return "holds"


def outcome(
    rows: Sequence[Row],
    judge: Callable[[Row], Rule | None],
    *,
    why: str,
    where_it_stops: str,
    x_title: str = "",
) -> Outcome:
    """Judge the measured rows, and the simulated ones by the same rule.

    Args:
        rows: all rows; only those with `judged` are looked at.
        judge: the rule of a row; None: it decides nothing.
        why: the figures that decide.
        where_it_stops: in a sentence.
        x_title: of the chart's axis.
    """
    measured, simulated = [], []
    for row in rows:
        rule = judge(row) if row.judged else None
        if rule is not None:
            measured.append(rule(row))
            simulated.append(rule(row.simulated_alone()))
    return Outcome(
        rows=tuple(rows),
        findings=tuple(measured),
        simulated_findings=tuple(simulated),
        verdict=verdict(measured),
        simulated_verdict=verdict(simulated),
        why=why,
        where_it_stops=where_it_stops,
        x_title=x_title,
    )


def _name(row: Row) -> str:
    return f"{row.figure} at {row.setting}"
