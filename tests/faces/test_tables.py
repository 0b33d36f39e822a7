from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.recommendation import Recommendation
from advisor.tables import detail, fronts, ranking, reasons, units
from advisor.tables.table import Column, Table, escape
from advisor.text import Style, clean, columns_width, table

ALL = (
    "ranking",
    "refused",
    "checks",
    "workload",
    "settings",
    "differences",
    "causes",
    "knee",
    "slots",
    "memory",
    "turns",
    "terms",
    "fronts",
    "draws",
)


def every_table(rec: Recommendation) -> dict[str, Table]:
    best = rec.options[0]
    assert rec.explanation
    assert rec.knee
    assert rec.slots
    assert best.memory
    tables = (
        ranking.ranking(rec), ranking.refused(rec), ranking.checks(best), detail.workload(rec.workload),
        detail.settings(best), reasons.differences(rec.explanation),
        reasons.causes(rec.explanation.base, rec.explanation.deployment), reasons.knee(rec.knee),
        reasons.slots(rec.slots), reasons.memory(best.memory), reasons.turns(rec, rec.turns),
        reasons.terms(rec.terms), fronts.fronts(rec), fronts.spread(best),
    )  # fmt: skip
    return dict(zip(ALL, tables, strict=True))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (1.234, "1.23"),
        (9.999, "10.0"),
        (999.6, "1,000"),
        (12345, "12,300"),
        (-0.5, "-0.500"),
        (math.inf, "–"),
        (math.nan, "–"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert units.significant(value) == text


@given(st.floats(1e-9, 1e9))
def test_three_digits_are_never_off_by_more_than_half_a_percent(value: float) -> None:
    assert float(units.significant(value).replace(",", "")) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (4.2e-5, "42.0 µs"),
        (0.0123, "12.3 ms"),
        (0.9999, "1.00 s"),
        (59.0, "59.0 s"),
        (1200, "20.0 min"),
    ],
)
def test_a_time_takes_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "100"), (0.9999, ">99.9"), (0.997, "99.7"), (0.0, "0.0"), (0.0001, "<0.1")]
)
def test_a_share_is_not_rounded_into_a_lie(value: float, text: str) -> None:
    assert units.share(value) == text


def test_the_base_model_has_no_rank(rec: Recommendation) -> None:
    rows = ranking.ranking(rec)
    assert [row[0] for row in rows.rows][:4] == ["1", "2", "ref", "3"]
    assert rows.marks[0] == "recommended"
    assert rows.marks[2] == "reference"


def test_what_the_limits_ask_for_stands_in_the_knee_beside_p99(rec: Recommendation) -> None:
    assert rec.knee
    assert rec.knee.limits[0].percentile == 90
    content = reasons.knee(rec.knee)
    titles = [column.title for column in content.columns]
    assert titles == ["load", "rate", "TTFT p90", "TTFT p99", "TPOT p99", "goodput"]
    assert tuple(row[2] for row in content.rows) == rec.knee.limits[0].value


def test_the_best_base_model_stands_beside_each_device_that_serves(rec: Recommendation) -> None:
    base = next(o for o in rec.options if o.is_reference and o.feasible)
    second = base.model_copy(update={"key": "second on the same device"})
    alone = base.model_copy(update={"key": "on a device that serves nothing", "device": "nowhere"})
    more = rec.model_copy(update={"options": (*rec.options, second, alone)})
    assert ranking.compared(more) == ranking.compared(rec)
    one = ranking.compared(more, top=1)
    assert [o.key for o in one if not o.is_reference] == [rec.recommended]
    assert {o.device for o in one} == {one[0].device}


def test_options_are_split_and_none_is_lost(rec: Recommendation) -> None:
    shown = len(ranking.ranking(rec).rows) + len(ranking.refused(rec).rows)
    assert shown == len(rec.options)
    assert all(ranking.refused(rec).notes)


def test_the_differences_add_up_as_shown(rec: Recommendation) -> None:
    assert rec.explanation
    rows = reasons.differences(rec.explanation).rows
    for column in range(1, 5):
        parts = [row[column] for row in rows]
        assert sum(p for p in parts[:-1] if isinstance(p, float)) == pytest.approx(parts[-1], rel=1e-9)


def test_memory_parts_fill_the_device(rec: Recommendation) -> None:
    plan = rec.options[0].memory
    assert plan
    assert sum(size for _, size in reasons.memory_parts(plan)) == pytest.approx(plan.device_bytes)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [60, 80, 100, 160, 300])
def test_a_table_fits_the_terminal_or_has_nothing_left_to_drop(
    rec: Recommendation, name: str, width: int
) -> None:
    content = every_table(rec)[name]
    text = table(content, Style(width=width))
    needed = 2 + sum(
        max(columns_width(column.heading), *(columns_width(row[i]) for row in content.written())) + 2
        for i, column in enumerate(content.columns)
        if not column.weight
    )
    assert max(columns_width(line) for line in text.splitlines()) <= max(width, needed)


def test_what_is_left_out_is_named(rec: Recommendation) -> None:
    text = table(ranking.ranking(rec), Style(width=80))
    assert "Left out here" in text
    assert "E2E p95" in text
    assert "TTFT ms" in text
    assert "Left out here" not in table(ranking.ranking(rec), Style(width=200))


def test_nothing_is_said_by_colour_alone(rec: Recommendation) -> None:
    plain, painted = (
        table(ranking.ranking(rec), Style(200)),
        table(ranking.ranking(rec), Style(200, colour=True)),
    )
    assert "\x1b[" not in plain
    assert "\x1b[1;32m" in painted
    assert "→ 1" in plain


@given(st.text(max_size=40))
def test_no_control_character_survives(text: str) -> None:
    assert all(char.isprintable() or ord(char) > 127 for char in clean(text))
    assert "\x1b" not in clean(text)


def test_csv_is_unrounded_in_the_headings_unit(rec: Recommendation) -> None:
    rows = list(csv.DictReader(io.StringIO(ranking.ranking(rec).csv())))
    out = rec.options[0].outcome
    assert out
    assert float(rows[0]["TTFT p99 (ms)"]) == out.ttft.p99_s * 1e3
    assert float(rows[0]["goodput (%)"]) == out.goodput_share * 100


def test_a_formula_is_not_run_by_a_spreadsheet() -> None:
    content = Table("t", "t", (Column("name"),), (("=HYPERLINK(1)",), ("@x",)))
    assert [row[0] for row in csv.reader(io.StringIO(content.csv()))][1:] == ["'=HYPERLINK(1)", "'@x"]


def test_markdown_shows_markup_as_text() -> None:
    content = Table("t", "t", (Column("name"),), (("<b>*x*</b>|y\nz",),))
    assert content.markdown().splitlines()[2] == r"| &lt;b&gt;\*x\*&lt;/b&gt;\|y z |"
    assert escape("a_b") == r"a\_b"
