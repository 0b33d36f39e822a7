"""Break-even maps: the user's own point stands on each, and each chart is a table too."""

from __future__ import annotations

import csv
import io

import pytest

from advisor.api import break_even
from advisor.breakeven.answer import BreakEven
from advisor.plots.data import csv_of, rows_of
from advisor.report.maps import maps
from advisor.spec.scenario import scenario_from_text
from tests.whatif.test_again import SCENARIO


@pytest.fixture(scope="module")
def answer() -> BreakEven:
    text = SCENARIO + "speculation: {drafts: [{method: ngram}]}\n"
    return break_even(scenario_from_text(text, "scenario"), device="L40S", draws=0, jobs=1)


def test_every_curve_has_its_section(answer: BreakEven) -> None:
    keys = [section.key for section in maps(answer)]
    assert keys[:3] == ["map-merging", "map-packing", "map-draft-0"]
    assert keys[-1] == "map-notes"


def test_the_users_point_stands_on_every_map(answer: BreakEven) -> None:
    for section in maps(answer, batch=5.0):
        for figure in section.figures:
            (own,) = [row for row in rows_of(figure.draw()) if row.get("text") == "you"]
            if section.key != "map-draft-0":
                assert own["adapters"] == 6
            else:
                assert own["batch"] == 5.0
                assert own["needed"] == answer.drafts[0].tokens_per_step


def test_a_chart_is_valid_and_its_rows_are_a_csv(answer: BreakEven) -> None:
    assert answer.packing is not None
    for section in maps(answer, batch=5.0):
        for figure in section.figures:
            chart = figure.draw()
            chart.to_dict()
            read = list(csv.DictReader(io.StringIO(csv_of(chart))))
            assert len(read) == len(rows_of(chart))
    packing = next(s for s in maps(answer) if s.key == "map-packing").figures[0].draw()
    carried = [float(r["rps"]) for r in rows_of(packing) if r.get("what") == "carried by one replica"]
    assert carried == [value for value in answer.packing.carried_rps if value > 0]


def test_a_formula_in_a_label_is_quoted_for_spreadsheets() -> None:
    import altair as alt

    rows = [{"a": "=1+1", "b": 2.5}, {"a": "x", "c": -1}]
    chart = alt.Chart(alt.InlineData(values=rows)).mark_point()
    assert csv_of(chart) == "a,b,c\n'=1+1,2.5,\nx,,-1\n"
