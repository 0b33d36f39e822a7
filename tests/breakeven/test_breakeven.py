"""Break-even: crossings against brute force, and what must hold of every curve."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.breakeven.answer import BreakEven
from advisor.breakeven.bytoken import dedicated_pays_from
from advisor.breakeven.capacity import SIZES, WITHIN, largest
from advisor.breakeven.crossing import last_above
from advisor.breakeven.drafting import acceptance_for
from advisor.breakeven.replicas import FAINT, merged_replicas, merging_pays_from, replicas_for
from advisor.breakeven.study import break_even
from advisor.cli.failures import run
from advisor.cli.root import root
from advisor.errors import InfeasibleError
from advisor.robustness.interval import interval
from advisor.search.question import Question
from advisor.search.tokens import offers_by_token
from advisor.search.trial import Plan, Runner, traffic_for
from advisor.trace.scale import faster
from tests.profiles import profile, terms
from tests.questions import question
from tests.search.variants import variant_of

SHARES = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5).map(lambda raw: [x / sum(raw) for x in raw])
CARRIED = st.tuples(st.floats(0.5, 20.0), st.floats(1.0, 4.0)).map(
    lambda pair: (pair[0], pair[0] * 3 * pair[1])
)


@pytest.fixture(scope="module")
def asked() -> Question:
    return question(search={"requests": 150}, speculation={"drafts": [{"method": "ngram"}]})


@pytest.fixture(scope="module")
def answer(asked: Question) -> BreakEven:
    return break_even(asked, draws=2)


class TestReplicas:
    @given(SHARES, CARRIED, CARRIED)
    @settings(max_examples=60, deadline=None)
    def test_merging_pays_from_where_brute_force_says(
        self, shares: list[float], multi: tuple[float, float], merged: tuple[float, float]
    ) -> None:
        found = merging_pays_from(shares, multi, merged)
        loads = np.geomspace(1e-3, 3e3, 4000)
        dearer = merged_replicas(loads, np.asarray(shares), merged) > replicas_for(loads, multi)
        if found is None:
            assert dearer.any() or multi[-1] * (1 + FAINT) >= merged[-1]
            return
        assert not dearer[loads > found * (1 + 1e-6)].any()
        if dearer.any():
            assert found >= loads[dearer].max() * (1 - 1e-6)

    @given(CARRIED, st.floats(0.01, 1e3), st.floats(1.0, 3.0))
    def test_more_load_never_takes_fewer_replicas_and_they_carry_it(
        self, carried: tuple[float, float], load: float, more: float
    ) -> None:
        few, many = replicas_for(np.asarray([load, load * more]), carried)
        assert 1 <= few <= many
        if few >= SIZES[-1]:
            assert few * carried[-1] / SIZES[-1] >= load * (1 - 1e-6)

    def test_what_carries_nothing_takes_endless_replicas(self) -> None:
        assert np.isinf(replicas_for(np.asarray([1.0]), (0.0, 0.0))).all()
        assert merging_pays_from([1.0], (1.0, 3.0), (0.0, 0.0)) is None
        assert merging_pays_from([1.0], (0.0, 0.0), (1.0, 3.0)) == 0.0

    def test_a_gain_that_is_too_faint_to_tell_is_none(self) -> None:
        assert merging_pays_from([1.0], (1.0, 3.0), (1.0, 3.0 + 1e-15)) is None


class TestTokens:
    @given(st.floats(1e-6, 1e-1), st.floats(0.1, 50.0), CARRIED)
    @settings(max_examples=60, deadline=None)
    def test_replicas_pay_from_where_brute_force_says(
        self, usd_per_request: float, usd_per_hour: float, carried: tuple[float, float]
    ) -> None:
        found = dedicated_pays_from(usd_per_request, usd_per_hour, carried)
        loads = np.geomspace(1e-3, 3e4, 6000)
        dearer = replicas_for(loads, carried) * usd_per_hour > loads * 3600 * usd_per_request * (1 + 1e-9)
        if found is None:
            assert usd_per_hour / 3600 / usd_per_request >= 0.999 * carried[-1] / SIZES[-1]
            return
        assert not dearer[loads > found * (1 + 1e-6)].any()
        before = np.asarray([found * (1 - 1e-7)])
        assert replicas_for(before, carried) * usd_per_hour >= before * 3600 * usd_per_request * (1 - 1e-9)

    def test_what_carries_nothing_or_costs_nothing_never_pays(self) -> None:
        assert dedicated_pays_from(1e-3, 2.0, (0.0, 0.0)) is None
        assert dedicated_pays_from(0.0, 2.0, (1.0, 3.0)) is None

    def test_the_users_own_price_stands_alone(self, asked: Question) -> None:
        prices = asked.scenario.prices.model_copy(update={"serverless_usd_per_mtok": 0.5})
        own = replace(asked, scenario=asked.scenario.model_copy(update={"prices": prices}))
        (offer,) = offers_by_token(own, 2.0)
        tokens = asked.whole.prompt_tokens.mean() + asked.whole.output_tokens.mean()
        assert offer.usd_per_hour == pytest.approx(asked.whole.rate_rps * 3600 * tokens * 0.5e-6, rel=1e-6)
        assert offer.equal_rps == pytest.approx(2.0 / 3600 / (tokens * 0.5e-6))
        assert len(offers_by_token(asked, None)) >= 2
        assert all(
            one.equal_rps is None and "not sold" in one.adapters for one in offers_by_token(asked, None)
        )


class TestCrossing:
    def test_a_line_in_log_x_crosses_where_it_does(self) -> None:
        x = (1.0, 10.0, 100.0)
        margin = [math.log(30.0 / value) for value in x]
        assert last_above(x, margin) == pytest.approx(30.0)
        assert last_above(x, [1.0, 1.0, 1.0]) == math.inf
        assert last_above(x, [-1.0, -1.0, -1.0]) is None

    def test_an_interval_leaves_one_in_twenty_on_each_side(self) -> None:
        assert interval(list(range(1, 101))) == (5, 95)
        assert interval([3.0]) == (3.0, 3.0)
        assert interval([1.0, math.inf])[1] == math.inf

    @given(st.floats(0.01, 1e4), st.floats(0.05, 20.0))
    def test_the_largest_value_that_holds_is_found_to_3_percent(self, truth: float, off: float) -> None:
        found = largest(lambda value: value <= truth, truth * off)
        assert found <= truth < found * WITHIN * (1 + 1e-9)

    def test_nothing_holds(self) -> None:
        assert largest(lambda _value: False, 1.0) == 0.0

    @given(st.floats(0.0, 1.0), st.integers(1, 8))
    def test_acceptance_gives_back_the_tokens_of_a_step(self, alpha: float, gamma: int) -> None:
        tokens = math.fsum(alpha**i for i in range(gamma + 1))
        found = acceptance_for(tokens, gamma)
        assert found is not None
        assert math.fsum(found**i for i in range(gamma + 1)) == pytest.approx(tokens, rel=1e-9)
        assert acceptance_for(gamma + 1.01, gamma) is None


class TestAnswer:
    def test_a_replica_carries_what_it_says_and_not_much_more(
        self, asked: Question, answer: BreakEven
    ) -> None:
        """By the search's own runner on the same kind of requests: half of it holds, twice breaks a limit."""
        assert answer.merge is not None
        own = next(point for point in answer.merge.points if point.adapters == len(asked.adapters))
        variant = variant_of(asked, "multi-lora")
        from advisor.search.knobs import start_limits, with_slots

        limits = with_slots(asked, variant, start_limits(asked, variant), own.max_loras)
        runner = Runner(asked.scenario.objective, asked.ranks, asked.scenario.seed)

        def holds(rate_rps: float) -> bool:
            trial = faster(asked.trial, rate_rps / asked.trial.rate_rps)
            traffic = traffic_for(variant, trial, asked.adapters.names)
            return runner.run(Plan(variant, limits, (1,)), traffic, trial.duration_s).holds

        assert own.multi_lora_rps > 0
        assert holds(0.5 * own.multi_lora_rps)
        assert not holds(2.0 * own.multi_lora_rps)

    def test_replicas_at_each_load_agree_with_the_crossing(self, answer: BreakEven) -> None:
        assert answer.merge is not None
        for point in answer.merge.points:
            from_rps = point.crossing_rps.value
            for load, (multi, merged) in zip(answer.merge.loads_rps, point.replicas, strict=True):
                if from_rps is not None and load > from_rps * 1.001 and multi is not None:
                    assert merged is not None
                    assert merged <= multi

    def test_one_adapter_is_merged_for_free(self, answer: BreakEven) -> None:
        assert answer.merge is not None
        assert [point.crossing_rps.value for point in answer.merge.points if point.adapters == 1] == [0.0]

    def test_more_adapters_never_raise_what_a_replica_carries_by_much(self, answer: BreakEven) -> None:
        assert answer.packing is not None
        carried = answer.packing.carried_rps
        assert all(later <= 1.1 * earlier for earlier, later in pairwise(carried))

    def test_drafts_need_as_many_tokens_as_the_steps_differ(self, answer: BreakEven) -> None:
        (curve,) = [one for one in answer.drafts if one.draft_length == answer.drafts[0].draft_length]
        for point in curve.points:
            assert point.tokens_needed == pytest.approx(point.verify_step_s / point.plain_step_s)
            assert point.tokens_needed_low <= point.tokens_needed <= point.tokens_needed_high
        pays = [point.batch for point in curve.points if point.tokens_needed <= curve.tokens_per_step]
        if curve.crossing_batch.value is not None:
            assert max(pays) <= curve.crossing_batch.value

    def test_the_same_on_two_processes(self, asked: Question, answer: BreakEven) -> None:
        assert break_even(asked, draws=2, jobs=2) == answer

    def test_without_draws_there_is_no_interval(self, asked: Question, answer: BreakEven) -> None:
        bare = break_even(asked, draws=0)
        assert bare.merge is not None
        assert answer.merge is not None
        assert [p.crossing_rps.value for p in bare.merge.points] == [
            p.crossing_rps.value for p in answer.merge.points
        ]
        assert any("No intervals" in note for note in bare.notes)

    def test_nothing_fits(self) -> None:
        small = profile(terms()).device.model_copy(update={"memory_bytes": 8e9})
        with pytest.raises(InfeasibleError, match="no way to serve runs"):
            break_even(question(profile(terms(), device=small)), draws=0)


def test_the_command_prints_every_curve_and_its_crossing(
    repo_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scenario = repo_root / "data/scenarios/one-adapter-strict.yaml"
    code = run(root, "advisor", ("breakeven", str(scenario), "--draws", "0", "--jobs", "1", "-q"))
    out = capfd.readouterr().out
    assert code == 0
    for words in ("Merg", "adapters", "batch"):
        assert words in out


def test_a_device_that_is_not_there_is_an_input_error(
    repo_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scenario = repo_root / "data/scenarios/one-adapter-strict.yaml"
    code = run(root, "advisor", ("breakeven", str(scenario), "--device", "H1000", "-q"))
    assert code == 2
    assert "H1000" in capfd.readouterr().err
