"""Tokens from a provider: refused where not sold, else our requests beside others' on a stand-in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.recommendation import Option
from advisor.search.beside import with_others
from advisor.search.found import Found
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.search.serverless import serverless
from advisor.search.shared import cold_waits
from advisor.search.shared import with_others as shared_with
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import CAUSES
from advisor.sim.setup import FleetSetup
from advisor.spec.serverless import Serverless
from advisor.spec.spec import Origin
from advisor.why.scaling import summary_with_others
from tests.questions import question
from tests.sim.test_fleet import fleet, trace

LOAD = CAUSES.index("load")


def asked(**wish: object) -> Question:
    return question(
        serverless={"stand_in": "A100-80-SXM", **wish}, search={"requests": 300, "ways": ["multi-lora"]}
    )


def options(one: Question) -> dict[str, Option]:
    return {entry.option.key: entry.option for entry in serverless(one)[0]}


def test_a_provider_that_does_not_sell_adapters_is_refused_with_its_source() -> None:
    found = options(asked())
    assert set(found) == {"serverless/fireworks", "serverless/together"}
    for option in found.values():
        assert not option.feasible
        assert option.outcome is None
        assert option.bound == "compatibility"
        assert option.reason.startswith("not offered: ")
        assert "Source: " in option.reason


def test_what_is_sold_is_simulated_priced_by_our_tokens_and_labelled() -> None:
    one = asked(price="0.5 USD/Mtok", others=0.3)
    option = options(one)["serverless/own"]
    trace_ = one.whole
    tokens = float(trace_.prompt_tokens.sum() + trace_.output_tokens.sum())
    hours = len(trace_) / trace_.rate_rps / 3600
    assert option.usd_per_hour is not None
    assert option.bought is not None
    assert option.outcome is not None
    np.testing.assert_allclose(option.usd_per_hour, 0.5 * tokens / 1e6 / hours)
    assert option.usd_per_mtok is not None
    np.testing.assert_allclose(option.usd_per_mtok, 0.5)
    assert option.origin is Origin.ESTIMATED
    assert option.warnings == (option.bought.assumption,)
    assert option.bought.assumption.startswith("estimate: no provider latency is known; from ")
    assert option.outcome.requests == len(trace_)  # the others' are not in it
    np.testing.assert_allclose(sum(option.outcome.ttft_causes_s.values()), option.outcome.ttft.mean_s)


def test_the_mean_is_split_into_what_is_alone_cold_starts_and_other_tenants() -> None:
    one = asked(price="0.5 USD/Mtok", others=0.6, replicas=2, cold_start="3s")
    option = options(one)["serverless/own"]
    assert option.bought is not None
    assert option.outcome is not None
    for parts, mean_s in (
        (option.bought.ttft_parts_s, option.outcome.ttft.mean_s),
        (option.bought.tpot_parts_s, option.outcome.tpot.mean_s),
    ):
        assert list(parts) == ["alone, warm", "cold starts", "other tenants"]
        np.testing.assert_allclose(sum(parts.values()), mean_s)
        assert parts["other tenants"] > 0
    np.testing.assert_allclose(
        option.bought.ttft_parts_s["cold starts"], option.bought.cold_share * 1.5, rtol=0.5
    )  # who waits at all waits 0 to 3 s
    alone = options(asked(price="0.5 USD/Mtok", others=0.0, replicas=2, cold_start="1ms"))["serverless/own"]
    assert alone.bought is not None
    assert alone.bought.ttft_parts_s["other tenants"] == 0.0
    assert abs(alone.bought.ttft_parts_s["cold starts"]) < 1e-3


def test_others_make_it_slower() -> None:
    means = []
    for share in (0.0, 0.7):
        option = options(asked(price="0.5 USD/Mtok", others=share, replicas=2, cold_start="1ms"))[
            "serverless/own"
        ]
        assert option.outcome is not None
        means.append((option.outcome.ttft.mean_s, option.outcome.tpot.mean_s))
    assert means[1][0] > means[0][0]
    assert means[1][1] > means[0][1]


def test_it_is_never_the_recommended_one_and_the_summary_says_why() -> None:
    one = question(
        objective={"slos": [{"metric": "ttft", "percentile": 90, "limit": "1s"}]},
        serverless={
            "stand_in": "A100-80-SXM",
            "price": "0.0001 USD/Mtok",
            "others": 0.0,
            "cold_start": "1ms",
        },
        search={"requests": 300, "ways": ["multi-lora"]},
    )
    found: Found = with_others(one, search(one))
    first = found.entries[0].option
    assert first.key == "serverless/own"
    assert first.feasible
    assert found.best is not None
    assert found.best.option.bought is None
    text = summary_with_others("Serve it.", found)
    assert text.startswith("Serve it. Bought by the token (own)")
    assert "that latency is an assumption" in text
    assert "By the token fireworks and together do not sell these adapters." in text


def test_a_stand_in_without_a_profile_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"serverless.stand_in is 'nothing'; allowed: a device with a profile"
    ):
        serverless(asked(price="0.5 USD/Mtok", stand_in="nothing"))


def test_without_the_section_there_is_none() -> None:
    one = asked()
    assert serverless(replace(one, scenario=one.scenario.model_copy(update={"serverless": None}))) == ([], 0)


def test_a_cold_adapter_holds_all_that_come_until_it_is_there() -> None:
    requests = trace((0, 4, 1, 0), (3, 4, 1, 0), (12, 4, 1, 0), (14, 4, 1, -1), (21, 4, 1, 1), (100, 4, 1, 0))
    held_s, colds = cold_waits(requests, unload_after_s=20.0, cold_start_s=10.0)
    # adapter 0: cold at 0, there at 10; asked last at 12, so unloaded at 32 and cold at 100
    assert held_s.tolist() == [10.0, 7.0, 0.0, 0.0, 10.0, 10.0]
    assert colds == 3


def test_alone_and_warm_it_is_the_engine_as_it_is() -> None:
    requests = trace((0, 4, 3, 0), (0.5, 4, 1, 1), (7, 4, 2, -1))
    setup = fleet()
    wish = Serverless.model_validate({"others": 0.0, "other_adapters": 0, "cold_start": "0.001us"})
    shared = shared_with(FleetSetup(setup.replica), requests, wish, 0.0, seed=1)
    alone = simulate_fleet(setup, requests)
    np.testing.assert_allclose(shared.result.last_token_s, alone.last_token_s)
    np.testing.assert_allclose(shared.result.ttft_causes_s, alone.ttft_causes_s, atol=1e-9)
    cold = shared_with(
        FleetSetup(setup.replica), requests, wish.model_copy(update={"cold_start": 50.0}), 0.0, seed=1
    )
    assert (cold.cold_starts, cold.cold_share) == (2, 2 / 3)
    np.testing.assert_allclose(cold.result.ttft_causes_s.sum(axis=1), cold.result.ttft_s)
    assert np.all(cold.result.ttft_causes_s[:2, LOAD] >= 49.0)


def test_the_others_requests_are_drawn_with_the_seed() -> None:
    one, two = (options(asked(price="0.5 USD/Mtok"))["serverless/own"] for _ in range(2))
    assert one == two
