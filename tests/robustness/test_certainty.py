"""How sure an answer is, where the truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.certainty import Certainty
from advisor.profile import LoraTerm
from advisor.recommendation import Recommendation
from advisor.robustness.certainty import REQUESTS_THEMSELVES, Asked, certainty_of
from advisor.robustness.decide import Judge, World, with_extra
from advisor.robustness.inputs import TRAFFIC, Input
from advisor.robustness.rivals import rivals_of
from advisor.robustness.tipping import Subject, subjects_of, tipping
from advisor.search.found import Found
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.spec.spec import Origin
from tests.faces.example import example
from tests.profiles import DEVICE, profile, terms
from tests.questions import question

MARK: dict[str, Any] = {"origin": Origin.ESTIMATED, "source": "made up for a test"}
SURE = (1.0, 1.0)
SMALL: dict[str, Any] = {"search": {"requests": 300, "ways": ["multi-lora", "merged"]}}


def lora(per_adapter_s: float, interval: tuple[float, float] = SURE) -> LoraTerm:
    return LoraTerm(**MARK, fixed_s=1e-3, per_adapter_s=per_adapter_s, interval=interval)


def asked(interval: tuple[float, float] = SURE, **changes: Any) -> Question:
    """Two devices: one cheap with slow LoRA kernels, one dearer by little on which they are fast."""
    fast = DEVICE.model_copy(update={"name": "FAST-80"})
    profiles = (
        profile(terms(lora=lora(1e-3, interval))),
        profile(terms(lora=lora(1e-5, SURE)), device=fast, name="fast_80-vllm"),
    )
    return question(*profiles, **{**SMALL, **changes})


def priced(asked: Question, dearer: float) -> Question:
    """The same with the second device at this many times the price of the first."""
    first, second = asked.offers
    assert second.price is not None
    price = second.price.model_copy(update={"usd_per_hour": second.price.usd_per_hour * dearer})
    return replace(asked, offers=(first, replace(second, price=price)))


@pytest.fixture(scope="module")
def certain() -> tuple[Question, Found]:
    asked_ = priced(asked(), 1.3)
    return asked_, search(asked_)


@pytest.fixture(scope="module")
def doubtful() -> tuple[Question, Found]:
    asked_ = priced(asked((0.5, 30.0)), 1.3)
    return asked_, search(asked_)


def whole_as_trial(asked: Question) -> Question:
    """One block is the whole traffic: resampling it gives it back."""
    return replace(asked, whole=asked.trial)


class TestKnownTruth:
    def test_without_any_doubt_every_draw_is_the_estimate(
        self, certain: tuple[Question, Found], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked_, found = certain
        monkeypatch.setattr("advisor.robustness.workload.BLOCK_REQUESTS", len(asked_.trial))
        answer = certainty_of(whole_as_trial(asked_), found, draws=3, load_spread=0.0)
        assert answer is not None
        assert (answer.stands, answer.holds, answer.draws) == (3, 3, 3)
        assert answer.measure_next is None
        for spread in answer.spreads:
            assert spread.low == pytest.approx(spread.estimate, rel=1e-9)
            assert spread.high == pytest.approx(spread.estimate, rel=1e-9)

    def test_the_one_doubtful_term_that_decides_is_what_to_measure(
        self, doubtful: tuple[Question, Found]
    ) -> None:
        asked_, found = doubtful
        assert found.best is not None
        assert "TEST-80" in found.best.option.key
        answer = certainty_of(asked_, found, draws=4, load_spread=0.0)
        assert answer is not None
        assert answer.measure_next == "LoRA kernels"
        tip = next(tip for tip in answer.tips if tip.input == "LoRA kernels")
        assert tip.below is None  # faster kernels only help the recommended option
        assert tip.above is not None
        assert tip.above > 1
        assert tip.above_option is not None
        assert "FAST-80" in tip.above_option
        assert 0 < tip.chance < 0.5

    def test_beyond_its_tipping_value_the_choice_is_another_and_before_it_the_same(
        self, doubtful: tuple[Question, Found]
    ) -> None:
        asked_, found = doubtful
        judge = Judge(asked_, rivals_of(asked_, found), SURE)
        judge.rivals = with_extra(judge, World(asked_.trial, {}))
        (subject,) = (s for s in subjects_of(judge.rivals, SURE) if s.input.term == "lora")
        tip = tipping(judge, asked_.trial, subject)
        assert tip.above is not None
        z = {side: side * np.log(tip.above.factor) / np.log(30.0) * 1.6449 for side in (0.7, 1.4)}
        key = judge.rivals[0].key
        assert judge.decide(World(asked_.trial, {subject.input: z[0.7]})).best == key
        assert judge.decide(World(asked_.trial, {subject.input: z[1.4]})).best == tip.above.option

    def test_a_term_that_cannot_matter_is_never_what_to_measure(self) -> None:
        wide = profile().memory.model_copy(update={"interval": (0.99, 1.01)})
        base = profile(terms(lora=lora(1e-4)), memory=wide)
        startup = base.startup.model_copy(update={"interval": (0.01, 100.0)})
        asked_ = question(base.model_copy(update={"startup": startup}), **SMALL)
        answer = certainty_of(asked_, search(asked_), draws=3)
        assert answer is not None
        assert answer.measure_next is None
        assert {tip.input for tip in answer.tips if tip.origin is not None} == {
            "memory overhead of the engine on TEST-80"
        }

    def test_a_rival_of_the_same_price_does_not_turn_the_choice(self) -> None:
        asked_ = priced(asked(), 1.0)
        found = search(asked_)
        assert found.best is not None
        judge = Judge(asked_, rivals_of(asked_, found), SURE)
        assert len(judge.rivals) > 1
        assert judge.decide(World(asked_.trial, {})).best == found.best.option.key


class TestDraws:
    def test_all_rivals_of_a_draw_see_the_same_requests(self, doubtful: tuple[Question, Found]) -> None:
        asked_, found = doubtful
        rivals = rivals_of(asked_, found)
        draws = Asked(asked_, rivals, (0.9, 1.1), {Input(TRAFFIC): [1.0, -1.0]})
        world, judge = draws.world(0), draws.judge
        arrivals = [judge.stand(rival, world).question.trial.arrival_s for rival in rivals]
        assert len(rivals) > 1
        assert all(np.array_equal(arrivals[0], other) for other in arrivals)
        other = draws.judge.stand(rivals[0], draws.world(1)).question.trial.arrival_s
        assert not np.array_equal(arrivals[0], other)
        again = draws.world(0).trace
        assert np.array_equal(world.trace.arrival_s, again.arrival_s)

    def test_more_processes_give_the_same_answer(self, doubtful: tuple[Question, Found]) -> None:
        asked_, found = doubtful
        one, two = (certainty_of(asked_, found, draws=5, jobs=jobs) for jobs in (1, 2))
        assert one is not None
        assert one == two

    def test_more_load_breaks_limits_with_the_replicas_as_they_are(
        self, certain: tuple[Question, Found]
    ) -> None:
        asked_, found = certain
        calm, wild = (certainty_of(asked_, found, draws=6, load_spread=by) for by in (0.0, 5.0))
        assert calm is not None
        assert wild is not None
        assert wild.holds < calm.holds
        tip = next(tip for tip in wild.tips if tip.input == "load")
        assert tip.interval == (1 / 6, 6.0)

    def test_the_requests_themselves_are_among_what_may_turn_it(
        self, certain: tuple[Question, Found]
    ) -> None:
        answer = certainty_of(*certain, draws=2)
        assert answer is not None
        assert REQUESTS_THEMSELVES in {tip.input for tip in answer.tips}
        assert sum(share.draws for share in answer.best) == answer.draws == 2

    def test_nothing_recommended_nothing_to_be_sure_of(self, certain: tuple[Question, Found]) -> None:
        asked_, found = certain
        none = replace(found, entries=())
        assert certainty_of(asked_, none, draws=2) is None


class TestInTheAnswer:
    def test_an_answer_that_was_not_asked_has_no_such_field(self) -> None:
        assert "certainty" not in example().model_dump()
        assert '"certainty"' not in example().model_dump_json()

    def test_it_is_read_back_and_shown(self, doubtful: tuple[Question, Found]) -> None:
        from advisor.report.markdown import markdown
        from advisor.report.plain import answer as plain
        from advisor.text import Style

        sure = certainty_of(*doubtful, draws=2)
        assert isinstance(sure, Certainty)
        rec = example().model_copy(update={"certainty": sure})
        assert Recommendation.model_validate_json(rec.model_dump_json()) == rec
        for text in (plain(rec, Style(width=140)), markdown(rec)):
            assert "How sure" in text
            assert f"in {sure.stands} of 2 draws" in text
            assert "LoRA kernels" in text


def test_small_terms_are_not_tried(certain: tuple[Question, Found]) -> None:
    asked_, found = certain
    judge = Judge(asked_, rivals_of(asked_, found), SURE)
    idle = Subject(Input("frontend"), (0.1, 10.0), Origin.ESTIMATED, False)
    tip = tipping(judge, asked_.trial, idle)
    assert (tip.below, tip.above, tip.chance) == (None, None, 0)
    assert not judge._stands
