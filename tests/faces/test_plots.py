from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import pytest

from advisor.plots import cost, load, theme, why
from advisor.recommendation import CAUSE_WORDS, Recommendation
from advisor.sim.result import CAUSES
from advisor.spec.spec import Origin
from advisor.steptime.batch import COMPONENTS
from advisor.tables import ranking


def charts(rec: Recommendation) -> dict[str, Any]:
    assert rec.explanation
    assert rec.knee
    assert rec.slots
    assert rec.options[0].memory
    return {
        "cost": cost.cost_latency(rec, "ttft"),
        "cost-tpot": cost.cost_latency(rec, "tpot"),
        "prices": cost.prices(ranking.compared(rec, 3), rec.recommended),
        "steps": why.waterfall(rec.explanation, "ttft"),
        "causes": why.causes(rec.explanation.base, rec.explanation.deployment, "decode"),
        "memory": why.memory(rec.options[0].memory),
        "terms": why.terms(rec.terms),
        "knee": load.knee(rec, rec.knee, "ttft"),
        "slots": load.slots(rec.slots),
        "ranges": load.ranges([(o.key, o) for o in rec.options], "e2e"),
    }


def values(spec: Any, key: str) -> Iterator[Any]:
    if isinstance(spec, dict):
        for name, item in spec.items():
            if name == key:
                yield item
            yield from values(item, key)
    elif isinstance(spec, list):
        for item in spec:
            yield from values(item, key)


def test_every_chart_draws_to_svg_and_png(rec: Recommendation) -> None:
    for name, chart in charts(rec).items():
        assert "<path" in theme.svg(chart, name, "x"), name
    assert theme.png(charts(rec)["memory"]).startswith(b"\x89PNG")


def test_the_same_answer_draws_the_same_bytes(rec: Recommendation) -> None:
    for name in ("cost", "knee", "slots"):
        assert theme.svg(charts(rec)[name], name, "x") == theme.svg(charts(rec)[name], name, "x")


def test_every_axis_of_a_quantity_says_its_unit(rec: Recommendation) -> None:
    for name, chart in charts(rec).items():
        for channel in ("x", "y"):
            for axis in values(chart.to_dict(), channel):
                if isinstance(axis, dict) and axis.get("type") == "quantitative" and axis.get("title"):
                    assert "(" in axis["title"], (name, axis["title"])


def test_charts_are_light(rec: Recommendation) -> None:
    for name, chart in charts(rec).items():
        assert len(theme.svg(chart, name, "x")) < 60_000, name


def test_identifiers_are_the_charts_own_and_names_are_escaped(rec: Recommendation) -> None:
    text = theme.svg(charts(rec)["slots"], "mine", '<"&>')
    assert 'aria-label="&lt;&quot;&amp;&gt;"' in text
    part = '<clipPath id="clip0"/><g clip-path="url(#clip0)"/><use xlink:href="#clip0"/>'
    own = '<clipPath id="mine-clip0"/><g clip-path="url(#mine-clip0)"/><use xlink:href="#mine-clip0"/>'
    assert theme.own_identifiers(part, "mine") == own


def test_the_pareto_front_holds_what_no_other_option_beats(rec: Recommendation) -> None:
    rows = cost.points(rec, "ttft")
    front = [row for row in rows if row["front"]]
    for row in front:
        assert row["meets"]
        assert not row["reference"]
        assert not any(
            other["usd_per_hour"] < row["usd_per_hour"] and other["latency_ms"] <= row["latency_ms"]
            for other in rows
            if other["meets"] and not other["reference"]
        )
    best = min((r for r in rows if r["meets"] and not r["reference"]), key=lambda r: r["usd_per_hour"])
    assert best in front
    assert rows[0]["recommended"]


def test_the_knee_draws_what_the_objective_limits(rec: Recommendation) -> None:
    assert rec.knee
    drawn = load.knee(rec, rec.knee, "ttft").to_dict()
    assert [*values(drawn, "ms")] == pytest.approx([value * 1e3 for value in rec.knee.limits[0].value])
    assert "TTFT p90 (ms)" in str(drawn)
    unlimited = load.knee(rec, rec.knee.model_copy(update={"limits": ()}), "ttft").to_dict()
    assert [*values(unlimited, "ms")] == pytest.approx([value * 1e3 for value in rec.knee.ttft_p99_s])


def test_the_limit_is_drawn_where_the_objective_puts_it(rec: Recommendation) -> None:
    data = list(values(cost.cost_latency(rec, "ttft").to_dict(), "limit"))
    assert 200.0 in data
    plain = rec.model_copy(
        update={"options": tuple(o.model_copy(update={"checks": ()}) for o in rec.options)}
    )
    assert "limit" not in str(cost.cost_latency(plain, "ttft").to_dict())


@pytest.mark.parametrize("metric", ["ttft", "tpot"])
def test_the_steps_lead_from_the_base_to_the_deployment(
    rec: Recommendation, metric: Literal["ttft", "tpot"]
) -> None:
    assert rec.explanation
    rows = why.waterfall_rows(rec.explanation, metric)
    for one, after in pairwise(rows[:-1]):
        assert after["from"] == pytest.approx(one["to"])
    assert rows[-2]["to"] == pytest.approx(rows[-1]["to"])


def test_every_cause_has_a_word_and_a_colour() -> None:
    assert set(CAUSES) == set(CAUSE_WORDS) == set(theme.CAUSE_COLOURS)
    assert set(COMPONENTS) <= set(CAUSE_WORDS)
    assert len(set(theme.CAUSE_COLOURS.values())) == len(CAUSES)


def test_every_origin_has_its_line_and_its_colour() -> None:
    assert list(theme.ORIGIN_DASHES) == list(theme.ORIGIN_COLOURS) == list(Origin)
    assert len({tuple(dash) for dash in theme.ORIGIN_DASHES.values()}) == len(Origin)


@pytest.mark.parametrize("numbers", [[], [0.0], [5.0], [1.0, 1e9], [1e-6, 3e-6]])
def test_log_scales_have_ticks_inside_their_domain(numbers: list[float]) -> None:
    scale, axis = theme.log_ticks(numbers)
    low, high = scale.to_dict()["domain"]
    assert low < high
    assert axis.to_dict()["values"]
    assert all(low <= tick <= high for tick in axis.to_dict()["values"])
