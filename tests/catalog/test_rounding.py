"""What the answer says merging loses: by the table, or by what was measured on the adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.catalog.rounding import rounding_words
from advisor.errors import InputError
from advisor.recommendation import Option
from advisor.search.candidates import variants
from advisor.spec.adapter import Adapters
from advisor.spec.adapterset import resolve_adapters
from advisor.spec.mergecheck import MergeCheck, load_merge_check
from advisor.spec.spec import WeightsDtype
from tests.questions import question


def check(error: float, stored: str = "bfloat16", adapter: str = "/somewhere/legal") -> MergeCheck:
    module = {"layer": 0, "module": "q_proj", "delta_over_weight": 0.01, "kept": 1.0, "error": error}
    module["unchanged"] = 0.1
    found: dict[str, Any] = {"stored": stored, "kept": 1.0, "error": error, "unchanged": 0.1, "worst": module}
    whole = {"model": "m", "adapter": adapter, "rank": 8, "types": [found], "modules": [[module]]}
    return MergeCheck.model_validate_json(json.dumps(whole))


def test_without_a_check_it_is_the_table() -> None:
    words = rounding_words(WeightsDtype.BFLOAT16, ())
    assert "a delta of 0.2% of the weight's size has an error of 61% of itself, one of 5% has 3%" in words
    assert "Unmerged is safer until `calibrate merge-check`" in words
    assert "1300% of itself" in (fp8 := rounding_words(WeightsDtype.FP8, ()))
    assert "That drowns a small one: unmerged is safer" in fp8


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(0.05, "5% of its delta: safe."), (0.3, "compare answers"), (0.7, "serve it unmerged")],
)
def test_the_worst_adapter_that_was_checked_counts(error: float, verdict: str) -> None:
    words = rounding_words(WeightsDtype.BFLOAT16, (check(0.01, adapter="mild"), check(error)))
    assert "the worst adapter checked (legal)" in words
    assert verdict in words


def test_a_check_in_another_type_does_not_count() -> None:
    assert "computed" in rounding_words(WeightsDtype.FP8, (check(0.01),))


def test_what_merges_carries_the_words_and_the_rest_does_not() -> None:
    for item in variants(question()):
        assert not isinstance(item, Option)
        merges = item[0].way in ("merged", "hybrid")
        assert merges == any("Merged into bfloat16" in warning for warning in item[1])


def test_a_scenario_names_the_files(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    path.write_text(check(0.3).model_dump_json())
    assert load_merge_check(path) == check(0.3)
    asked = Adapters(count=2, rank=8, merge_checks=("check.json",))
    assert resolve_adapters(asked, tmp_path).merge_checks == (check(0.3),)
    path.write_text(json.dumps({"schema_version": 1, "model": "m"}))
    with pytest.raises(InputError, match=r"check\.json: adapter is missing"):
        resolve_adapters(asked, tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"check\.json: no such file"):
        resolve_adapters(asked, tmp_path)
