"""The hottest adapters merged on replicas of their own, the rest on a pool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.api import simulate
from advisor.deployment import Choice, Variant
from advisor.errors import InputError
from advisor.search.hybrid import hybrids
from advisor.search.knobs import start_limits, with_slots
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.search.trial import Plan, Runner, as_base, by_popularity, traffic_for, traffic_of
from tests.profiles import profile
from tests.questions import price, question, scenario
from tests.search.variants import variant_of

SKEWED = {"count": 12, "rank": 16, "popularity": {"kind": "zipf", "exponent": 2.0}}


@pytest.fixture(scope="module")
def asked() -> Question:
    return question(adapters=SKEWED)


def hybrid(asked: Question, merged: int) -> Variant:
    return replace(variant_of(asked, "hybrid"), hottest=by_popularity(asked.whole)[:merged])


def test_every_request_is_in_one_pool_at_its_own_time(asked: Question) -> None:
    pools = traffic_for(hybrid(asked, 3), asked.trial, asked.adapters.names)
    assert [pool.fine_tuned for pool in pools] == [True, True, True, False]
    times = np.sort(np.concatenate([pool.trace.arrival_s for pool in pools]))
    np.testing.assert_array_equal(times, asked.trial.arrival_s)
    assert sum(pool.share for pool in pools) == pytest.approx(1.0)
    served = [name for pool in pools for name in pool.adapters]
    assert sorted(served) == sorted(asked.adapters.names)
    counts = [len(pool.trace) for pool in pools[:3]]
    rest = np.bincount(pools[3].trace.adapter[pools[3].trace.adapter >= 0])
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= rest.max() - 3  # popularity is that of the whole trace, these are of a stretch


def test_the_pools_run_as_they_would_alone(asked: Question) -> None:
    variant = hybrid(asked, 1)
    limits = with_slots(asked, variant, start_limits(asked, variant), 4)
    pools = traffic_for(variant, asked.trial, asked.adapters.names)
    runner = Runner(asked.scenario.objective, asked.ranks, 0)
    trial = runner.run(Plan(variant, limits, (1, 1)), pools, asked.trial.duration_s)
    base = variant_of(asked, "base")
    setup = runner.replica(base, start_limits(asked, base), merged=None)
    alone = runner.fleet(setup, as_base(pools[0].trace), 1, "round-robin")
    np.testing.assert_array_equal(trial.results[0].last_token_s, alone.last_token_s)
    pool = variant_of(asked, "multi-lora")
    tail = runner.fleet(
        replace(runner.replica(pool, limits, merged=None), preloaded=()),
        pools[1].trace,
        1,
        "round-robin",
    )
    assert trial.results[1].loads_to_slot < tail.loads_to_slot  # preloaded, and the merged one is not
    assert bool(trial.results[1].done.all())


def test_the_merged_adapter_takes_no_slot_of_the_pool(asked: Question) -> None:
    variant = hybrid(asked, 2)
    limits = with_slots(asked, variant, start_limits(asked, variant), 4)
    preloaded = variant.replica(limits, asked.ranks).preloaded
    assert set(preloaded) == set(range(12)) - set(variant.hottest)


def test_only_numbers_that_could_pay_are_looked_at() -> None:
    even = question(adapters={"count": 12, "rank": 16, "popularity": {"kind": "zipf", "exponent": 0.0}})
    assert hybrids(even, variant_of(even, "hybrid")) == ()
    one = question(adapters={"count": 1, "rank": 16})
    assert hybrids(one, variant_of(one, "hybrid")) == ()


def test_a_hot_adapter_under_load_makes_a_hybrid_cheaper_than_the_pool() -> None:
    """The adapter of most requests spares all of them the LoRA kernels: fewer replicas."""
    slow = profile()
    terms = slow.models[0]
    assert terms.lora is not None
    lora = terms.lora.model_copy(update={"fixed_s": 0.02})
    slow = slow.model_copy(update={"models": (terms.model_copy(update={"lora": lora}),)})
    workload = {
        "kind": "generator",
        "arrivals": {"kind": "poisson", "rate": "120 req/s"},
        "prompt_tokens": {"kind": "fixed", "tokens": 300},
        "output_tokens": {"kind": "fixed", "tokens": 60},
        "duration": "20s",
    }
    asked = question(slow, adapters=SKEWED, workload=workload, search={"requests": 1000})
    found = search(asked)
    best = found.best
    assert best is not None
    assert best.option.way == "hybrid"
    pool = next(e.option for e in found.entries if e.option.way == "multi-lora")
    assert best.option.devices < pool.devices or not pool.feasible
    assert best.option.usd_per_hour == pytest.approx(price("x").usd_per_hour * best.option.devices)
    merged = [p for p in best.option.pools if p.merged]
    assert len(merged) == int(best.option.key.split("/")[0].removeprefix("hybrid-"))
    assert traffic_of("base", asked.trial, ())[0].share == 1.0


def test_simulate_takes_the_number_of_merged_adapters() -> None:
    choice = Choice(way="hybrid", device="TEST-80", hottest=2, replicas=1, max_loras=4)
    done = simulate(scenario(adapters=SKEWED), choice, [profile()], folder=Path())
    assert done.option.key == "hybrid-2/TEST-80/tp1/plain"
    assert [pool.merged for pool in done.option.pools] == [True, True, False]
    assert sum(len(trace) for _, trace, _ in done.pools) == done.option.outcome.requests  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("way", "hottest", "said"),
    [("hybrid", 12, "fewer than the adapters"), ("multi-lora", 2, "unless the way is hybrid")],
)
def test_an_impossible_number_is_one_clear_sentence(way: str, hottest: int, said: str) -> None:
    choice = Choice(way=way, device="TEST-80", hottest=hottest, replicas=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        simulate(scenario(adapters=SKEWED), choice, [profile()], folder=Path())
