"""What may be different, and the scenario that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.search.question import facts_of, resolve
from advisor.spec.adapter import Adapters
from advisor.spec.objective import Metric
from advisor.spec.scenario import Scenario, load_scenario, scenario_from_text, scenario_to_yaml
from advisor.whatif.changes import Changes, changed

FOLDER = Path(__file__).parents[2] / "data" / "scenarios"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def example(name: str) -> Scenario:
    return load_scenario(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_change_is_the_same_scenario(path: Path) -> None:
    scenario = load_scenario(path)
    assert changed(scenario, Changes(), FOLDER) == scenario


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_twice_the_load_is_about_twice_the_requests_a_second_and_can_be_asked_in_full(path: Path) -> None:
    scenario = load_scenario(path)
    twice = changed(scenario, Changes(load=2.0), FOLDER)
    again = scenario_from_text(scenario_to_yaml(twice), "again")
    assert again == twice
    rates = [facts_of(resolve(one, None, FOLDER)).rate_rps for one in (scenario, twice)]
    assert rates[1] == pytest.approx(2 * rates[0], rel=0.15)


def test_a_fitted_workload_without_a_rate_gets_one() -> None:
    scenario = example("platform-40-adapters")
    work = scenario.workload.model_copy(update={"rate": None})
    faster = changed(scenario.model_copy(update={"workload": work}), Changes(load=3.0), FOLDER)
    assert faster.workload.rate == pytest.approx(3 * 5.5301364)  # type: ignore[union-attr]  # it is a fitted one


def test_ranks_become_one_rank_and_adapters_another_number() -> None:
    adapters = changed(example("mixed-ranks-8-to-64"), Changes(rank=8, adapters=5, zipf=0.5), FOLDER).adapters
    assert isinstance(adapters, Adapters)
    assert (adapters.rank, adapters.ranks, adapters.count) == (8, (), 5)
    assert adapters.popularity.exponent == 0.5  # type: ignore[union-attr]  # it is a Zipf one


def test_another_number_needs_another_popularity_where_each_has_a_share() -> None:
    scenario = example("three-adapters-busy")
    with pytest.raises(InputError, match="share for each of 3"):
        changed(scenario, Changes(adapters=5), FOLDER)
    assert changed(scenario, Changes(adapters=5, zipf=1.0), FOLDER).adapters.count == 5  # type: ignore[union-attr]  # by number


def test_accepted_drafts_are_multiplied_for_base_and_adapters_and_stay_shares() -> None:
    scenario = example("code-assistant-ngram")
    (draft,) = changed(scenario, Changes(accepted=0.5), FOLDER).speculation.drafts
    (more,) = changed(scenario, Changes(accepted=10.0), FOLDER).speculation.drafts
    assert draft.base_acceptance is not None
    assert more.base_acceptance is not None
    own = draft.base_acceptance.tokens_per_step(3) - 1
    (whole,) = changed(scenario, Changes(accepted=0.999999), FOLDER).speculation.drafts
    assert whole.base_acceptance is not None
    assert own == pytest.approx((whole.base_acceptance.tokens_per_step(3) - 1) / 2, rel=1e-5)
    assert max(more.base_acceptance.marginals) == 1.0


def test_a_limit_keeps_its_percentile_and_a_preset_is_written_out() -> None:
    objective = changed(
        example("platform-40-adapters"), Changes(limits_s={Metric.TTFT: 0.3}), FOLDER
    ).objective
    assert [(s.metric.value, s.percentile, s.limit) for s in objective.limits] == [
        ("ttft", 90.0, 0.3),
        ("tpot", 99.0, 0.05),
    ]
    assert objective.preset is None


def test_a_price_replaces_the_own_one() -> None:
    scenario = changed(example("platform-40-adapters"), Changes(usd_per_device_hour={"L40S": 1.5}), FOLDER)
    twice = changed(scenario, Changes(usd_per_device_hour={"L40S": 0.7}), FOLDER)
    assert [(own.device, own.price) for own in twice.prices.own] == [("L40S", 0.7)]
