"""16-bit weights and the same quantised to fp8, side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest

import advisor
from advisor.deployment import Choice
from advisor.profile import Profile
from advisor.recipe.plan import Places, plan_of
from advisor.recipe.vllm import vllm_arguments
from advisor.recommendation import Option
from advisor.search.candidates import QUANTISED, variants
from advisor.search.question import Offer, Question
from advisor.search.ranking import search
from advisor.spec.scenario import Scenario
from advisor.spec.spec import WeightsDtype
from advisor.why.words import summary_of
from tests.profiles import LLAMA_8B, profile, terms
from tests.questions import price, question, scenario

FP8 = LLAMA_8B.model_copy(update={"name": f"{LLAMA_8B.name}-FP8", "weights_dtype": WeightsDtype.FP8})


def with_fp8() -> Profile:
    """A device whose fp8 products take half the time."""
    plain = terms()
    dense = plain.dense.model_copy(update={"y_s": tuple(0.5 * y for y in plain.dense.y_s)})
    return profile(plain, terms(FP8, dense=dense))


@pytest.fixture(scope="module")
def asked() -> Question:
    one = question(with_fp8(), search={"requests": 300, "also_fp8": True})
    return replace(one, offers=(Offer(with_fp8(), price("TEST-80")),))


def test_each_way_is_there_with_both_weights_under_keys_of_their_own(asked: Question) -> None:
    found = [item[0] for item in variants(asked) if not isinstance(item, Option)]
    keys = {one.key for one in found}
    assert len(keys) == len(found)
    for one in found:
        assert one.quantised == (one.terms.model.weights_dtype is WeightsDtype.FP8)
        assert one.quantised == ("/tp1-fp8/" in one.key)
    assert {key.replace("-fp8", "") for key in keys if "-fp8" in key} == {
        key for key in keys if "-fp8" not in key
    }


def test_without_the_wish_there_is_nothing_quantised() -> None:
    assert not any(isinstance(i, Option) or i[0].quantised for i in variants(question(with_fp8())))


def test_weights_that_are_fp8_already_are_not_quantised_again(asked: Question) -> None:
    already = replace(asked, model=FP8)
    assert not any(isinstance(i, Option) or i[0].quantised for i in variants(already))


def test_a_device_without_such_kernels_refuses_them_alone() -> None:
    one = question(search={"requests": 300, "also_fp8": True, "ways": ["multi-lora"]})
    refused = [item for item in variants(one) if isinstance(item, Option)]
    assert [option.quantised for option in refused] == [True]
    assert refused[0].bound == "profile"


def test_half_the_weights_leave_more_kv_memory_and_half_the_products_less_time(asked: Question) -> None:
    found = search(asked)
    options = {e.option.key: e.option for e in found.entries}
    plain, fp8 = options["multi-lora/TEST-80/tp1/plain"], options["multi-lora/TEST-80/tp1-fp8/plain"]
    assert fp8.quantised
    assert not plain.quantised
    assert fp8.memory is not None
    assert plain.memory is not None
    assert fp8.memory.weights_bytes < 0.6 * plain.memory.weights_bytes
    assert fp8.outcome is not None
    assert plain.outcome is not None
    assert fp8.outcome.tpot.p50_s < plain.outcome.tpot.p50_s
    assert QUANTISED in fp8.warnings
    assert QUANTISED not in plain.warnings


def test_the_summary_says_what_it_costs_not_to(asked: Question) -> None:
    found = search(asked)
    assert found.best is not None
    if not found.best.option.quantised:
        pytest.fail("the faster weights must be best here, or this test says nothing")
    text = summary_of(asked, found)
    assert "on weights quantised to fp8" in text
    assert "With the weights as given the cheapest is" in text


def test_the_recipe_asks_the_engine_for_it_and_simulate_takes_it() -> None:
    choice = Choice(way="multi-lora", device="TEST-80", replicas=1, max_loras=12, fp8=True)
    asked = scenario(search={"requests": 300})
    option = advisor.simulate(asked, choice, [with_fp8()]).option
    assert option.quantised
    words = vllm(option, asked)
    assert words[words.index("--quantization") + 1] == "fp8"
    plain = advisor.simulate(asked, choice.model_copy(update={"fp8": False}), [with_fp8()]).option
    assert "--quantization" not in vllm(plain, asked)


def vllm(option: Option, asked: Scenario) -> list[str]:
    plan = plan_of(option, asked, Places())
    return vllm_arguments(plan, plan.servers[0])
