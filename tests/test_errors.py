"""The error tree, and pydantic's findings said as one clear sentence each."""

from __future__ import annotations

import datetime
import json
import math
import pickle  # noqa: TID251 - worker processes hand errors on this way
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from advisor.errors import (
    AdvisorError,
    InfeasibleError,
    InputError,
    Interrupted,
    MeasurementError,
    Miss,
    Problem,
    sentences_of,
    validated,
)


def _milliseconds(value: object) -> float:
    if not isinstance(value, str) or not value.endswith("ms"):
        raise ValueError("a duration with its unit, such as 500ms")
    return float(value.removesuffix("ms")) / 1e3


Duration = Annotated[float, BeforeValidator(_milliseconds), Field(gt=0)]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Single(Spec):
    kind: Literal["single"]
    rank: int = Field(ge=1, le=512, description="Use r from the adapter's adapter_config.json.")

    @model_validator(mode="after")
    def _not_seven(self) -> Single:
        if self.rank == 7:
            raise ValueError("rank 7 is unlucky; choose another")
        return self


class Bulk(Spec):
    kind: Literal["bulk"]
    share: float = Field(gt=0, lt=1)


Tagged = Annotated[Single | Bulk, Field(discriminator="kind")]


class Scenario(Spec):
    adapters: tuple[Tagged, ...] = Field(min_length=1)
    ttft: Duration = Field(description="Look at your SLO.")
    one: Single | None = None
    weights: dict[str, Annotated[int, Field(ge=0)]] = {}
    slo: dict[Literal["p50", "p99"], float] = {}
    pair: tuple[int, int] = (1, 2)
    mixed: int | str | Single = 3
    plain_union: Single | Bulk | None = None
    limit: Duration | Literal["auto"] = "auto"
    colour: Colour = Colour.RED
    day: datetime.date | None = None
    name: str = Field("x", max_length=8)
    names: dict[Annotated[str, Field(min_length=2)], int] = {}


GOOD: dict[str, Any] = {"adapters": [{"kind": "single", "rank": 8}], "ttft": "5ms"}


def said(change: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        validated(Scenario, GOOD | change, "s.yaml")
    return list(caught.value.sentences)


def test_the_exit_codes_are_those_of_the_style_guide() -> None:
    codes = {kind.__name__: kind.exit_code for kind in AdvisorError.__subclasses__()}
    assert codes == {"InputError": 2, "InfeasibleError": 3, "MeasurementError": 4, "Interrupted": 130}


def test_good_input_becomes_the_model() -> None:
    got = validated(Scenario, GOOD | {"day": datetime.date(2025, 1, 2), "pair": [3, 4]}, "s.yaml")
    assert (got.ttft, got.day, got.pair) == (0.005, datetime.date(2025, 1, 2), (3, 4))


MEND_RANK = "Use r from the adapter's adapter_config.json."
ONE_SENTENCE = {
    "bounds": (
        {"adapters": [{"kind": "single", "rank": 0}]},
        f"adapters[0].rank is 0; allowed: at least 1 and at most 512. {MEND_RANK}",
    ),
    "type": (
        {"adapters": [{"kind": "single", "rank": "8"}]},
        f"adapters[0].rank is '8'; allowed: a whole number, at least 1 and at most 512. {MEND_RANK}",
    ),
    "missing": (
        {"one": {"kind": "single"}},
        f"one.rank is missing; allowed: a whole number, at least 1 and at most 512. {MEND_RANK}",
    ),
    "typo": (
        {"adapters": [{"kind": "single", "rank": 8, "rnk": 1}]},
        "adapters[0].rnk: no such field; did you mean rank?",
    ),
    "unknown": (
        {"one": {"kind": "single", "rank": 8, "zzz": 1}},
        "one.zzz: no such field; known: kind, rank.",
    ),
    "tag": (
        {"adapters": [{"kind": "sinlge"}]},
        "adapters[0].kind is 'sinlge'; allowed: one of single, bulk. Did you mean single?",
    ),
    "no tag": ({"adapters": [{}]}, "adapters[0].kind is missing; allowed: one of single, bulk."),
    "no mapping": (
        {"adapters": [3]},
        "adapters[0] is 3; allowed: a mapping whose kind is one of single, bulk.",
    ),
    "member": (
        {"adapters": [{"kind": "bulk", "share": 1}]},
        "adapters[0].share is 1; allowed: more than 0 and less than 1.",
    ),
    "empty list": ({"adapters": []}, "adapters is []; allowed: at least 1 item."),
    "null": ({"adapters": None}, "adapters is null; allowed: a list, at least 1 item."),
    "unit": (
        {"ttft": 500},
        "ttft is 500; allowed: a duration with its unit, such as 500ms. Look at your SLO.",
    ),
    "after the unit": ({"ttft": "0ms"}, "ttft is '0ms'; allowed: more than 0. Look at your SLO."),
    "whole model": ({"one": {"kind": "single", "rank": 7}}, "one: rank 7 is unlucky; choose another."),
    "mapping's value": ({"weights": {"a": -1}}, "weights.a is -1; allowed: at least 0."),
    "odd key": ({"weights": {"llama 3.1": -1}}, "weights['llama 3.1'] is -1; allowed: at least 0."),
    "mapping's key": ({"slo": {"p9": 1.0}}, "slo.p9: no such key; did you mean p99?"),
    "key's bounds": ({"names": {"a": 1}}, "names.a: the key is 'a'; allowed: text, at least 2 characters."),
    "too many": ({"pair": [1, 2, 3]}, "pair is [1, 2, 3]; allowed: a list of 2 items."),
    "too few": ({"pair": [1]}, "pair[1] is missing; allowed: a whole number."),
    "union": (
        {"mixed": [1]},
        "mixed is [1]; allowed: a whole number, or text, or a mapping with the fields kind, rank.",
    ),
    "inside a union": (
        {"mixed": {"kind": "single", "rank": 0}},
        f"mixed.rank is 0; allowed: at least 1 and at most 512. {MEND_RANK}",
    ),
    "nearest member": (
        {"plain_union": {"kind": "bulk", "share": 2}},
        "plain_union.share is 2; allowed: more than 0 and less than 1.",
    ),
    "whole member": ({"mixed": {"kind": "single", "rank": 7}}, "mixed: rank 7 is unlucky; choose another."),
    "unit or word": ({"limit": 3}, "limit is 3; allowed: a duration with its unit, such as 500ms, or auto."),
    "choice": ({"colour": "gren"}, "colour is 'gren'; allowed: one of red, green. Did you mean green?"),
    "date": ({"day": "soon"}, "day is 'soon'; allowed: a date such as 2025-01-31."),
    "length": ({"name": "x" * 99}, f"name is '{'x' * 56}...; allowed: at most 8 characters."),
    "boolean": ({"pair": [True, 2]}, "pair[0] is true; allowed: a whole number."),
    "nan": (
        {"adapters": [{"kind": "bulk", "share": math.nan}]},
        "adapters[0].share is nan; allowed: a finite number.",
    ),
    "nan where null may stand": ({"one": math.nan}, "one is nan; allowed: a finite number."),
    "infinity": ({"slo": {"p50": -math.inf}}, "slo.p50 is -inf; allowed: a finite number."),
    "huge": (
        {"weights": {"a": 10**5000}},
        "weights.a is a number of 5,001 digits; allowed: a number below 1e300.",
    ),
    "no JSON": (
        {"name": b"x"},
        "name is b'x'; allowed: a mapping, list, text, number, true, false or null, not bytes.",
    ),
    "odd kind of key": (
        {datetime.date(2025, 1, 2): 1},
        "has the key datetime.date(2025, 1, 2); allowed: text.",
    ),
    "half a character": ({"name": "\ud800"}, "name is '\\ud800'; allowed: valid Unicode text."),
}


@pytest.mark.parametrize(("change", "sentence"), ONE_SENTENCE.values(), ids=ONE_SENTENCE)
def test_each_fault_is_one_clear_sentence(change: dict[Any, Any], sentence: str) -> None:
    first, *more = said(change)
    assert first == f"s.yaml: {sentence}"
    assert not more


@pytest.mark.parametrize("raw", [None, [], "text", 3])
def test_content_of_the_wrong_kind_is_named_with_the_fields_to_write(raw: object) -> None:
    with pytest.raises(
        InputError, match=r"^s.yaml: the content is .*; allowed: a mapping with the fields adapters, ttft, "
    ):
        validated(Scenario, raw, "s.yaml")


def test_all_faults_come_at_once_in_the_order_of_the_file() -> None:
    raw = {
        "weights": {"b": -1},
        "surprise": 1,
        "ttft": 3,
        "adapters": [{"kind": "single"}, {"kind": "bulk", "share": math.inf}],
    }
    with pytest.raises(InputError) as caught:
        validated(Scenario, raw, "s.yaml")
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["weights.b", "surprise", "ttft", "adapters[0].rank", "adapters[1].share"]


def test_what_is_missing_comes_after_its_neighbours() -> None:
    raw = {"adapters": [{"kind": "single"}], "one": 3}
    with pytest.raises(InputError) as caught:
        validated(Scenario, raw, "s.yaml")
    assert [problem.field for problem in caught.value.problems] == ["adapters[0].rank", "one", "ttft"]


def test_data_without_end_is_refused_at_once() -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    assert said({"adapters": endless}) == [
        "s.yaml: refers to itself; allowed: data that ends. Remove the alias."
    ]
    bomb: list[Any] = [0] * 10
    for _ in range(12):
        bomb = [bomb] * 10
    assert said({"adapters": bomb}) == ["s.yaml: holds more than 10,000,000 values."]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert said({"adapters": deep}) == ["s.yaml: is nested deeper than 100 levels."]


def test_an_emoji_is_text() -> None:
    assert validated(Scenario, GOOD | {"name": "😀"}, "s.yaml").name == "😀"


def test_sentences_of_says_what_pydantic_found() -> None:
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate_json(json.dumps(GOOD | {"pair": [1, "2"]}))
    assert sentences_of("s.yaml", Scenario, caught.value) == [
        "s.yaml: pair[1] is '2'; allowed: a whole number."
    ]
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate_json("{")
    (sentence,) = sentences_of("s.yaml", Scenario, caught.value)
    assert sentence.startswith("s.yaml: not valid JSON: EOF")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PARTLY_RIGHT = st.fixed_dictionaries(
    {
        "adapters": st.lists(
            st.fixed_dictionaries(
                {"kind": st.sampled_from(["single", "bulk"]) | JSON}, optional={"rank": JSON, "share": JSON}
            )
            | JSON,
            max_size=3,
        )
    },
    optional={name: JSON for name in (*Scenario.model_fields, "extra") if name != "adapters"},
)


@given(JSON | PARTLY_RIGHT)
def test_any_data_becomes_the_model_or_sentences(raw: Any) -> None:
    try:
        validated(Scenario, raw, "s.yaml")
    except InputError as error:
        sentences = error.sentences
    else:
        return
    assert sentences
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence.startswith("s.yaml: ")
        assert sentence.endswith((".", "?", "!"))
        assert "\n" not in sentence
        assert "function-" not in sentence  # pydantic's own words for a union's members
        assert len(sentence) < 400 + 2 * len(repr(raw))
        sentence.encode()


@given(st.integers(1, 512).filter(lambda rank: rank != 7), st.floats(1e-3, 1e6).map(lambda ms: f"{ms!r}ms"))
def test_what_the_model_writes_is_read_back(rank: int, ttft: str) -> None:
    raw = {"adapters": [{"kind": "single", "rank": rank}], "ttft": ttft}
    assert validated(Scenario, raw, "s.yaml").adapters == (Single(kind="single", rank=rank),)


def test_errors_survive_the_way_back_from_a_worker_process() -> None:
    miss = Miss("2 x H100, multi-LoRA", "ttft_p99_s", asked=0.5, reached=0.61)
    errors = [
        InputError([Problem("s.yaml", "a.b", 3, "at least 4"), "another sentence."]),
        InfeasibleError("Nothing meets the objective.", miss),
        MeasurementError("The client was late.", kept="raw samples in out/run.json"),
        Interrupted("Say `calibrate run --resume out/run` to go on."),
    ]
    for error in errors:
        back = pickle.loads(pickle.dumps(error))
        assert str(back) == str(error)
        assert vars(back) == vars(error)


def test_errors_carry_their_data_and_say_it() -> None:
    error = InputError(
        Problem(field="--load", value="fast", allowed="a rate with its unit, such as 12 req/s")
    )
    assert str(error) == "--load is 'fast'; allowed: a rate with its unit, such as 12 req/s."
    assert error.problems[0].value == "fast"
    miss = InfeasibleError("Nothing meets the objective.", Miss("1 x L40S, base", "ttft_p99_s", 0.5, 0.6125))
    assert str(miss) == (
        "Nothing meets the objective. Nearest: 1 x L40S, base, with ttft_p99_s 0.6125 where 0.5 is asked; "
        "relax ttft_p99_s to 0.6125 to accept it."
    )
    assert str(MeasurementError("Drift.", kept="out/p.json")) == "Drift. Kept: out/p.json."


@pytest.mark.parametrize("kind", [InputError, MeasurementError])
def test_no_sentence_steers_a_terminal(kind: type[Exception]) -> None:
    """Texts of files and servers come into sentences: an escape sequence, half a pair, text turned around."""
    assert str(kind("s.yaml: \x1b[2J\ud800\u202e is no name.")) == r"s.yaml: \x1b[2J\ud800\u202e is no name."
    assert str(kind("µ × γ: Größe 5\u00a0ms 名.")) == "µ × γ: Größe 5\u00a0ms 名."
