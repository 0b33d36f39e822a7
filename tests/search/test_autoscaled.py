"""Fleets that scale beside fixed ones: allowed or not, sized at the peak, paid for what was there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.recommendation import Option
from advisor.search.autoscaled import autoscaled
from advisor.search.beside import with_others
from advisor.search.found import Found
from advisor.search.question import Question, busiest_stretch
from advisor.search.ranking import search
from advisor.spec.autoscaling import Autoscaling
from advisor.spec.spec import Origin
from advisor.startup import ENGINE_START_S, start_up_of
from advisor.why.scaling import summary_with_others
from tests.profiles import profile
from tests.questions import question

BURSTS: dict[str, Any] = {
    "kind": "generator",
    "arrivals": {"kind": "on-off", "rate_on": "40 req/s", "mean_on": "100s", "mean_off": "400s"},
    "prompt_tokens": {"kind": "lognormal", "median": 300, "p95": 1200, "maximum": 4000},
    "output_tokens": {"kind": "lognormal", "median": 60, "p95": 200, "maximum": 400},
    "duration": "30min",
}


def asked(start_up: str = "5s", rate_on: str = "40 req/s", **changes: object) -> Question:
    """Bursts with long silence, limits that a short start-up may break for a few."""
    bursts = BURSTS | {"arrivals": BURSTS["arrivals"] | {"rate_on": rate_on}}
    wish = {"start_up": start_up, "window": "30s", **changes}
    objective = {"slos": [{"metric": "ttft", "percentile": 90, "limit": "6s"}]}
    base = question(
        workload=bursts,
        objective=objective,
        autoscaling=wish,
        search={"requests": 300, "ways": ["multi-lora"]},
    )
    return replace(base, trial=busiest_stretch(base.whole, 300))


@pytest.fixture(scope="module")
def quick() -> tuple[Question, Found, Found]:
    """A start-up of five seconds: question, fixed fleets, all."""
    one = asked()
    fixed = search(one)
    return one, fixed, with_others(one, fixed)


def only_scaled(found: Found) -> Option:
    (option,) = [e.option for e in found.entries if e.option.scaling is not None]
    return option


def test_without_the_section_nothing_changes() -> None:
    one = asked()
    silent = replace(one, scenario=one.scenario.model_copy(update={"autoscaling": None}))
    fixed = search(silent)
    assert with_others(silent, fixed) is fixed
    written = fixed.entries[0].option.model_dump()
    assert "scaling" not in written
    assert "bought" not in written


def test_a_short_start_up_saves_what_the_silence_costs(quick: tuple[Question, Found, Found]) -> None:
    one, fixed, found = quick
    option = only_scaled(found)
    scaling = option.scaling
    assert scaling is not None
    assert fixed.best is not None
    assert option.feasible
    assert found.best is not None
    assert found.best.option == option
    assert scaling.fixed_usd_per_hour == fixed.best.option.usd_per_hour
    assert option.usd_per_hour is not None
    np.testing.assert_allclose(option.usd_per_hour, 2.0 * scaling.mean_replicas)  # 2 USD/h a replica
    assert 0 < scaling.mean_replicas < 0.6 * fixed.best.option.replicas
    assert scaling.starts > 1
    assert option.outcome is not None
    assert option.outcome.requests == len(one.whole)
    assert option.outcome.counted_requests == len(one.whole)  # cold starts are not warm-up
    assert all(check.holds for check in option.checks)
    assert option.key == f"{fixed.best.option.key}/auto"


def test_requests_that_wait_for_a_start_up_are_counted(quick: tuple[Question, Found, Found]) -> None:
    option = only_scaled(quick[2])
    assert option.scaling is not None
    assert option.outcome is not None
    causes = option.outcome.ttft_causes_s
    assert option.scaling.waited_share > 0
    np.testing.assert_allclose(causes["start_up"], option.scaling.waited_mean_s)
    np.testing.assert_allclose(sum(causes.values()), option.outcome.ttft.mean_s)


def test_the_summary_says_what_it_saves_and_what_it_costs(quick: tuple[Question, Found, Found]) -> None:
    _, fixed, found = quick
    option = only_scaled(found)
    assert option.scaling is not None
    assert option.usd_per_hour is not None
    text = summary_with_others("Serve it.", found)
    assert text.startswith("Scaled with the load, one multi-LoRA pool")
    assert "are of the fixed fleet: serve it." in text
    assert f"It costs {option.usd_per_hour:.2f} USD/h on average" in text
    assert f"{option.scaling.waited_share:.1%} of the requests wait for a first replica" in text
    assert summary_with_others("Serve it.", fixed) == "Serve it."


def test_a_percentile_that_does_not_see_the_cold_starts_is_told_so(
    quick: tuple[Question, Found, Found],
) -> None:
    found = quick[2]
    entry = next(e for e in found.entries if e.option.scaling is not None)
    assert entry.option.outcome is not None
    seen = entry.option.outcome.ttft
    for p99_s, told in ((seen.p90_s, False), (60.0, True)):
        ttft = seen.model_copy(update={"p99_s": p99_s})
        outcome = entry.option.outcome.model_copy(update={"ttft": ttft})
        changed = replace(entry, option=entry.option.model_copy(update={"outcome": outcome}))
        text = summary_with_others("Serve it.", replace(found, entries=(changed,)))
        assert ("1 % of the requests wait longer than 60.0 s for their first token" in text) is told


def test_figures_of_a_scaled_fleet_rest_on_its_start_up(quick: tuple[Question, Found, Found]) -> None:
    one, fixed, found = quick
    assert one.scenario.autoscaling is not None
    estimated = replace(
        one,
        scenario=one.scenario.model_copy(
            update={"autoscaling": one.scenario.autoscaling.model_copy(update={"start_up": None})}
        ),
    )
    (entry,), _ = autoscaled(estimated, fixed.entries)
    assert entry.option.origin is Origin.ESTIMATED
    assert only_scaled(found).origin is fixed.entries[0].option.origin  # measured by the user: "yours"


def test_a_long_start_up_needs_replicas_that_stand_ready() -> None:
    one = asked("100s", rate_on="160 req/s")
    entries, runs = autoscaled(one, search(one).entries)
    (option,) = [entry.option for entry in entries]
    assert option.scaling is not None
    assert runs > 1
    assert option.scaling.min_replicas == 1  # of two at the peak, and still the other comes too late
    assert not option.feasible
    assert "TTFT p90" in option.reason


def test_the_users_target_is_taken() -> None:
    one = asked(target=3.0)
    (entry,), _ = autoscaled(one, search(one).entries)
    assert entry.option.scaling is not None
    assert entry.option.scaling.target == 3.0


def test_the_answer_does_not_depend_on_the_number_of_processes(quick: tuple[Question, Found, Found]) -> None:
    one, fixed, found = quick
    entries, _ = autoscaled(one, fixed.entries, jobs=2)
    assert [entry.option for entry in entries] == [only_scaled(found).model_copy(update={"pareto": ()})]


def test_the_fronts_are_those_of_fixed_and_scaled_fleets_together(
    quick: tuple[Question, Found, Found],
) -> None:
    found = quick[2]
    scaled, fixed = (entry.option for entry in found.entries)  # the cheaper one first
    assert scaled.pareto == fixed.pareto == ("ttft",)  # one is cheaper, the other faster
    assert scaled.outcome is not None
    assert fixed.outcome is not None
    assert fixed.outcome.ttft.p90_s < scaled.outcome.ttft.p90_s


def test_the_busiest_stretch_is_the_shortest() -> None:
    trace = asked().whole
    peak = busiest_stretch(trace, 300)
    spans = [trace.arrival_s[i + 299] - trace.arrival_s[i] for i in range(len(trace) - 299)]
    np.testing.assert_allclose(peak.duration_s, min(spans))
    assert busiest_stretch(trace, len(trace) + 1) is trace


def test_a_start_up_is_the_users_or_an_estimate_that_says_so() -> None:
    one = profile()
    rate = one.load("disk_to_cpu").bandwidth_bytes_per_s
    guess = start_up_of(one, 10 * rate, None)
    np.testing.assert_allclose(guess.seconds, 10 + ENGINE_START_S)
    assert guess.origin is Origin.ESTIMATED
    assert guess.source.startswith("estimate: ")
    own = start_up_of(one, 10 * rate, 42.0)
    assert (own.seconds, own.origin) == (42.0, Origin.MEASURED)
    assert Autoscaling().start_up is None
