from __future__ import annotations

import pytest

from advisor.catalog.capabilities import engine, engines
from advisor.catalog.compatibility import check
from advisor.catalog.shapes import model
from advisor.spec.adapterset import AdapterSet
from advisor.spec.peft import Trait

LLAMA = model("Llama-3.1-8B")


def adapters(*traits: Trait, rank: int = 16, count: int = 2, base: str | None = None) -> AdapterSet:
    names = tuple(f"a{i}" for i in range(count))
    bases = frozenset({base} if base else ())
    return AdapterSet(names, (rank,) * count, None, traits=frozenset(traits), base_models=bases)


def rules(
    name: str,
    served: AdapterSet,
    method: str | None = None,
    *,
    merged: bool = False,
    base: str = "Llama-3.1-8B",
) -> dict[str, bool]:
    """Rules that speak, each with whether it refuses."""
    verdicts = check(engine(name), served, model(base), method, merged=merged)
    return {verdict.rule: verdict.refuses for verdict in verdicts}


def test_plain_adapters_on_vllm_have_nothing_against_them() -> None:
    assert rules("vllm", adapters()) == {}
    assert rules("vllm", adapters(), merged=True) == {}


@pytest.mark.parametrize(
    ("name", "trait", "rule", "refuses"),
    [
        ("vllm", "dora", "dora", True),
        ("sglang", "dora", "dora", True),
        ("vllm", "modules_to_save", "modules-to-save", True),
        ("sglang", "rslora", "rslora-unread", False),
        ("llama.cpp", "rslora", "rslora-unread", False),
        ("llama.cpp", "patterns", "patterns-llama", False),
        ("lorax", "rslora", "rslora-unknown", False),
        ("sglang", "patterns", "patterns-sglang", True),
        ("tgi", "patterns", "patterns-unknown", False),
        ("vllm", "bias", "bias", True),
        ("vllm", "alora", "alora", True),
        ("vllm", "init", "init", True),
        ("vllm", "layer_replication", "layer-replication", True),
        ("trt-llm", "embeddings", "embeddings-trt", True),
        ("sglang", "embeddings", "embeddings-tokens", False),
    ],
)
def test_what_an_engine_cannot_serve_unmerged(name: str, trait: Trait, rule: str, refuses: bool) -> None:
    assert rules(name, adapters(trait)).get(rule) is refuses


@pytest.mark.parametrize("trait", ["rslora", "patterns", "embeddings"])
def test_what_vllm_serves_although_it_is_unusual(trait: Trait) -> None:
    assert rules("vllm", adapters(trait)) == {}


@pytest.mark.parametrize("trait", ["dora", "rslora", "patterns", "bias", "embeddings"])
def test_merging_lifts_the_restriction(trait: Trait) -> None:
    assert rules("vllm", adapters(trait), merged=True) == {}


@pytest.mark.parametrize(
    ("trait", "rule"), [("alora", "alora-merged"), ("layer_replication", "layer-replication")]
)
def test_what_cannot_be_merged(trait: Trait, rule: str) -> None:
    assert rules("vllm", adapters(trait), merged=True) == {rule: True}


def test_saved_modules_are_merged_with_a_warning() -> None:
    assert rules("vllm", adapters("modules_to_save"), merged=True) == {"merged-modules": False}


def test_a_rank_above_the_largest_is_refused_only_unmerged() -> None:
    assert rules("vllm", adapters(rank=513)) == {"rank": True}
    assert rules("vllm", adapters(rank=512)) == {}
    assert rules("vllm", adapters(rank=513), merged=True) == {}


@pytest.mark.parametrize(
    ("name", "method", "merged", "expected"),
    [
        ("vllm", "ngram", False, {}),
        ("vllm", "eagle3", False, {"method-note": False}),
        ("vllm", "eagle3", True, {}),
        ("vllm", "draft_model", False, {"method-note": False}),
        ("sglang", "draft_model", False, {"method-without-lora": True, "admission": False}),
        ("sglang", "draft_model", True, {"admission": False}),
        ("sglang", "ngram", False, {"admission": False}),
        ("trt-llm", "ngram", False, {"method-without-lora": True, "trt-speculation": False}),
        ("trt-llm", "ngram", True, {"trt-speculation": False}),
        ("lorax", "eagle3", False, {"method-unknown": True}),
        ("lorax", "ngram", True, {"adaptive-draft-lorax": False}),
    ],
)
def test_adapters_and_speculation(name: str, method: str, merged: bool, expected: dict[str, bool]) -> None:
    assert rules(name, adapters(), method, merged=merged) == expected


def test_engines_that_never_mix_adapters_warn_only_if_there_are_several() -> None:
    assert rules("llama.cpp", adapters()) == {"no-mixing": False, "fixed-at-start": False}
    assert rules("llama.cpp", adapters(count=1)) == {"fixed-at-start": False}


def test_fp8() -> None:
    fp8 = "Llama-3.1-8B-FP8"
    assert rules("vllm", adapters(), base=fp8) == {}
    assert rules("vllm", adapters(), merged=True, base=fp8) == {}
    assert rules("llama.cpp", adapters(count=0), base=fp8) == {"dtype": True}


@pytest.mark.parametrize(
    ("base", "differs"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", False),
        ("meta-llama/Llama-3-8B", True),
        ("/data/models/my-llama", False),  # a copy that the catalog does not know
    ],
)
def test_adapters_of_another_base_are_refused(base: str, differs: bool) -> None:
    assert ("other-base" in rules("vllm", adapters(base=base))) is differs


def test_the_base_alone_meets_no_rule_about_adapters() -> None:
    served = AdapterSet((), (), (), traits=frozenset({"dora"}))
    assert rules("vllm", served) == {}
    assert rules("vllm", served, "eagle3") == {}


def test_refusals_come_first_and_read_as_sentences() -> None:
    verdicts = check(engine("sglang"), adapters("rslora", "dora"), LLAMA, merged=False)
    assert [verdict.refuses for verdict in verdicts] == [True, False, False]
    assert verdicts[0].sentence.startswith("sglang does not serve DoRA adapters unmerged. Merge them;")
    for row in engines():
        every: tuple[Trait, ...] = ("dora", "alora", "init", "bias", "patterns", "rslora", "modules_to_save")
        for verdict in check(row, adapters(*every, rank=9999), LLAMA, "eagle3", merged=False):
            assert "{" not in verdict.sentence
            assert verdict.sentence.endswith(".")
            assert verdict.source
