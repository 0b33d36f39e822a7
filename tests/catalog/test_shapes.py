from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.catalog.resolve import resolve_model
from advisor.catalog.shapes import model, models, not_modelled
from advisor.errors import InputError
from advisor.spec.spec import WeightsDtype


@pytest.mark.parametrize(
    "name",
    [
        "Llama-3.1-8B",
        "llama3.1-8b",
        "LLAMA 3.1 8B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "unsloth/Meta_Llama_3.1_8B",
    ],
)
def test_one_model_has_many_names(name: str) -> None:
    assert model(name).name == "Llama-3.1-8B"


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Llama-3.1-8B", 8.03),
        ("Llama-3.3-70B", 70.6),
        ("Llama-3.1-405B", 405.8),
        ("Llama-3.2-1B", 1.24),
        ("Qwen3-8B", 8.19),
        ("Qwen2.5-7B", 7.62),
        ("Mistral-7B-v0.3", 7.25),
    ],
)
def test_sizes_give_the_parameters_of_the_model_card(name: str, billions: float) -> None:
    assert model(name).parameters == pytest.approx(billions * 1e9, rel=0.004)


@pytest.mark.parametrize("name", ["RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "Qwen3-32B-FP8"])
def test_fp8_variants_differ_in_the_weights_only(name: str) -> None:
    fp8 = model(name)
    plain = model(fp8.name.removesuffix("-FP8"))
    assert fp8.weights_dtype is WeightsDtype.FP8
    assert fp8.parameters == plain.parameters
    assert fp8.weights_bytes < 0.65 * plain.weights_bytes


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "mistralai/Mixtral-8x7B-v0.1",
            "model Mixtral-8x7B-v0.1 is a mixture of experts; modelled are dense models",
        ),
        ("Qwen3-30B-A3B-FP8", "model Qwen3-30B-A3B is a mixture of experts"),
        ("google/gemma-3-12b-it", "model Gemma-3-12b-it alternates sliding-window and full attention"),
        (
            "Llama-3.1-8B-Instruct-AWQ",
            "has weights whose kernels are not modelled; allowed: 16-bit or fp8 weights.",
        ),
        ("Llama-3.1-9B", "model 'Llama-3.1-9B' is not in the catalog; did you mean "),
        ("zzz", "model 'zzz' is not in the catalog; known: CodeLlama-34B, Llama-2-7B"),
        ("", "model '' is not in the catalog"),
    ],
)
def test_what_is_not_modelled_is_said_with_the_reason(name: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        model(name)
    assert said in str(caught.value)


def test_every_known_model_is_found_by_its_name_and_no_other_is() -> None:
    assert [model(one.name).name for one in models()] == [one.name for one in models()]
    for row in not_modelled():
        with pytest.raises(InputError, match=r"modelled are dense models with full attention only"):
            model(row.name)


@pytest.mark.data
def test_sizes_agree_with_the_public_table(shared_data: Path) -> None:
    with (shared_data / "facts" / "models.csv").open(encoding="utf-8", newline="") as stream:
        found = 0
        for row in csv.DictReader(stream):
            try:
                known = model(row["name"])
            except InputError:
                continue
            found += 1
            assert known.hidden_size == int(row["hidden_size"]), row["name"]
            assert known.kv_bytes_per_token == int(row["kv_bytes_per_token_bf16"]), row["name"]
            assert not row["num_experts"]
            assert not row["kv_lora_rank"]
    assert found >= 30


def test_a_model_is_resolved_by_name_file_or_folder(tmp_path: Path) -> None:
    folder = tmp_path / "house-model"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,'
        ' "intermediate_size": 128, "vocab_size": 100}'
    )
    assert resolve_model("Llama-3.1-8B", tmp_path).layers == 32
    assert resolve_model("house-model", tmp_path).layers == 2
    assert resolve_model("./house-model/config.json", tmp_path).name == "house-model"
    assert resolve_model(str(folder), Path("elsewhere")).heads == 4


@pytest.mark.parametrize("name", ["./absent", "absent/config.json", "empty"])
def test_a_path_without_a_config_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        resolve_model(name, tmp_path)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "null\0character", "~nobody-of-this-name/model", "./" + "x" * 5000]
)
def test_a_name_that_is_neither_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_model(name, tmp_path)
    assert len(caught.value.sentences) == 1
