"""The last look: longer stretches and other draws of the workload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.search.confirmation import Drawn, confirm, decisive_draw, on_draw, spread_of, stretches
from advisor.search.knobs import start_limits, with_slots
from advisor.search.pools import SizedPlan
from advisor.search.question import Question, resolve
from advisor.search.ranking import search, search_in_parts
from advisor.search.trial import Plan, traffic_for
from advisor.search.work import sizer_of
from advisor.trace.scale import faster
from tests.profiles import profile
from tests.questions import question, scenario
from tests.search.variants import variant_of


def _slim(asked: Question) -> Question:
    return replace(asked, offers=(), whole=asked.trial)


def _plan(asked: Question, replicas: int) -> SizedPlan:
    variant = variant_of(asked, "multi-lora")
    plan = Plan(variant, with_slots(asked, variant, start_limits(asked, variant), 12), (replicas,))
    sizer = sizer_of(asked)
    traffic = traffic_for(variant, asked.trial, asked.adapters.names)
    return SizedPlan(plan, sizer.runner.run(plan, traffic, sizer.duration_s), False, 1)


def _seen(*strains: float) -> list[Drawn]:
    return [Drawn(strain <= 1.0, strain, ()) for strain in strains]


def test_a_drawn_workload_is_drawn_anew_with_seeds_of_its_own() -> None:
    asked = question(search={"requests": 100, "draws": 3})
    on = stretches(asked, _slim(asked))
    assert on.longer is not None
    assert len(on.longer.trial) == min(len(asked.whole), 500)
    assert [draw.scenario.seed for draw in on.draws] == [1, 2, 3]
    lengths = {tuple(draw.trial.prompt_tokens[:20]) for draw in (asked, *on.draws)}
    assert len(lengths) == 4
    assert all(abs(len(draw.trial) - len(on.longer.trial)) < 100 for draw in on.draws)


def test_a_recorded_workload_gives_other_stretches_of_itself(tmp_path: Path) -> None:
    rows = "".join(f"{0.05 * i},{100 + i % 7},20\n" for i in range(1300))
    (tmp_path / "t.csv").write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}", encoding="utf-8")
    recorded = scenario(workload={"kind": "trace", "path": "t.csv"}, search={"requests": 100, "draws": 4})
    asked = resolve(recorded, (profile(),), tmp_path)
    on = stretches(asked, _slim(asked))
    assert len(on.draws) == 1  # of 1,300 requests a second stretch of 500, no third
    first = asked.whole.prompt_tokens[500:1000]
    np.testing.assert_array_equal(on.draws[0].trial.prompt_tokens, first)


def test_no_draws_where_none_are_asked_for() -> None:
    asked = question(search={"requests": 100, "draws": 0})
    assert stretches(asked, _slim(asked)).draws == ()
    assert all(entry.option.spread is None for entry in search(asked).entries)


def test_a_plan_that_breaks_on_longer_traffic_gets_what_it_needs_there() -> None:
    asked = question()
    heavy = faster(asked.trial, 12.0)
    harder = replace(asked, trial=heavy, whole=heavy)
    few = _plan(asked, 1)
    assert few.trial.holds
    grown, simulations = confirm(asked, harder, few)
    assert grown.plan.replicas > (1,)
    assert grown.on_trial == (1,)
    assert grown.growth == grown.plan.replicas[0]
    assert simulations > 1
    assert on_draw(harder, grown).holds
    less = replace(grown, plan=grown.plan.with_replicas(grown.plan.replicas[0] - 1))
    assert not on_draw(harder, less).holds
    kept, _ = confirm(asked, asked, few)
    assert kept is few


@pytest.mark.parametrize(
    ("strains", "at"),
    [((0.5, 0.6, 0.7, 2.0), None), ((0.5, 0.6, 1.2, 2.0), 2), ((3.0, 1.1, 0.9), 1), ((1.5,), 0)],
)
def test_half_of_the_draws_failing_is_too_many(strains: tuple[float, ...], at: int | None) -> None:
    draws: list[Any] = list(range(len(strains)))  # which one is meant, not what is in it
    assert decisive_draw(draws, _seen(*strains)) == (None if at is None else draws[at])


def test_the_hardest_half_tells_which_draw_is_the_median() -> None:
    """Of four the harder of the two middle ones; of five the middle one."""
    draws: list[Any] = ["first", "second", "third", "fourth", "fifth"]
    assert decisive_draw(draws[:4], _seen(3.0, 1.5)) is draws[1]
    assert decisive_draw(draws[:4], _seen(1.2, 1.5)) is draws[0]
    assert decisive_draw(draws, _seen(3.0, 1.5, 2.0)) is draws[1]


def test_the_spread_tells_lowest_median_and_highest() -> None:
    asked = question(search={"requests": 100, "draws": 3})
    plan = _plan(asked, 1)
    seen = [on_draw(draw, plan) for draw in stretches(asked, _slim(asked)).draws]
    spread = spread_of(seen)
    ttft = next(row for row in spread.limits if row.metric == "ttft")
    values = sorted(next(c.value for c in one.checks if c.metric == "ttft") for one in seen)
    assert (ttft.low, ttft.median, ttft.high) == tuple(values)
    assert values[0] < values[2]
    assert (spread.draws, spread.holding) == (3, sum(one.holds for one in seen))


def test_the_recommended_option_holds_on_most_draws() -> None:
    """At this load one replica holds on the trial by luck: most of other draws ask for two."""
    asked = question(search={"requests": 100, "draws": 5, "ways": ["multi-lora"]})
    best = search(asked).best
    assert best is not None
    assert best.option.spread is not None
    assert 2 * best.option.spread.holding > best.option.spread.draws == 5


def test_a_first_look_comes_before_the_confirmed_ranking() -> None:
    asked = question(search={"requests": 100, "draws": 2}, speculation={"drafts": [{"method": "ngram"}]})
    first, last = search_in_parts(asked)
    assert not first.confirmed
    assert last.confirmed
    assert {e.option.key for e in first.entries} == {e.option.key for e in last.entries}
    assert all(e.option.spread is None for e in first.entries)
    assert last.best is not None
    assert last.best.option.spread is not None
    assert first.simulations < last.simulations == search(asked).simulations
