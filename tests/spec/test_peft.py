from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.spec.model import ALL_LINEAR
from advisor.spec.peft import adapter_from_folder

CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct",
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "target_modules": ["v_proj", "q_proj"],
    "bias": "none",
    "use_rslora": False,
    "use_dora": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "init_lora_weights": True,
    "layers_to_transform": None,
}


def folder(tmp_path: Path, changes: dict[str, Any]) -> Path:
    made = tmp_path / "my-adapter"
    made.mkdir(exist_ok=True)
    kept = {key: value for key, value in {**CONFIG, **changes}.items() if value is not ...}
    (made / "adapter_config.json").write_text(json.dumps(kept))
    return made


def test_a_plain_adapter(tmp_path: Path) -> None:
    path = folder(tmp_path, {})
    adapter = adapter_from_folder(path)
    assert (adapter.name, adapter.rank, adapter.modules) == ("my-adapter", 16, ("q_proj", "v_proj"))
    assert adapter.traits == frozenset()
    assert adapter.scale == 2.0
    assert adapter.base_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert adapter.file_bytes is None
    assert adapter_from_folder(path / "adapter_config.json") == adapter


def test_the_size_of_the_weights_is_seen(tmp_path: Path) -> None:
    path = folder(tmp_path, {})
    (path / "adapter_model.safetensors").write_bytes(b"x" * 1234)
    assert adapter_from_folder(path).file_bytes == 1234


@pytest.mark.parametrize(
    ("target", "modules"),
    [
        ("all-linear", ALL_LINEAR),
        (list(ALL_LINEAR), ALL_LINEAR),
        (["down_proj", "q_proj", "lm_head"], ("q_proj", "down_proj")),
        (["model.layers.3.self_attn.o_proj"], ("o_proj",)),
        (r".*\.(q|k)_proj", ("q_proj", "k_proj")),
        (r"model\.layers\.\d+\.mlp\..*", ("gate_proj", "up_proj", "down_proj")),
        (r".*layers\.[0-3]\.self_attn\.v_proj", ("v_proj",)),
    ],
)
def test_target_modules_by_names_word_and_pattern(
    tmp_path: Path, target: object, modules: tuple[str, ...]
) -> None:
    assert adapter_from_folder(folder(tmp_path, {"target_modules": target})).modules == modules


@pytest.mark.parametrize(
    ("changes", "trait"),
    [
        ({"use_dora": True}, "dora"),
        ({"use_rslora": True}, "rslora"),
        ({"rank_pattern": {"q_proj": 64}}, "patterns"),
        ({"alpha_pattern": {"q_proj": 8}}, "patterns"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"alora_invocation_tokens": [1, 2]}, "alora"),
        ({"init_lora_weights": "pissa"}, "init"),
        ({"init_lora_weights": "olora"}, "init"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embeddings"),
    ],
)
def test_what_makes_an_adapter_hard_to_serve_is_named(
    tmp_path: Path, changes: dict[str, Any], trait: str
) -> None:
    assert adapter_from_folder(folder(tmp_path, changes)).traits == {trait}


def test_plain_starts_are_no_trait(tmp_path: Path) -> None:
    for init in (True, False, None, "gaussian"):
        assert adapter_from_folder(folder(tmp_path, {"init_lora_weights": init})).traits == frozenset()


def test_the_largest_rank_of_a_pattern_counts(tmp_path: Path) -> None:
    assert adapter_from_folder(folder(tmp_path, {"rank_pattern": {"q_proj": 64}})).rank == 64


def test_rslora_scales_by_the_root(tmp_path: Path) -> None:
    assert adapter_from_folder(folder(tmp_path, {"use_rslora": True})).scale == 8.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 0}, "r is 0; allowed: at least 1 and at most 512."),
        ({"r": -8}, "r is -8; allowed: at least 1 and at most 512."),
        ({"r": 10**6}, "r is 1000000; allowed: at least 1 and at most 512."),
        ({"r": "16"}, "r is '16'; allowed: a whole number"),
        ({"r": ...}, "r is missing; allowed: a whole number"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan; allowed: a finite number."),
        ({"lora_alpha": -1}, "lora_alpha is -1; allowed: more than 0"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj is 0; allowed: at least 1 and at most 512."),
        (
            {"peft_type": "PREFIX_TUNING"},
            "peft_type is 'PREFIX_TUNING'; allowed: LORA. Only LoRA adapters can be",
        ),
        ({"peft_type": ...}, "peft_type is missing; allowed: LORA."),
        ({"target_modules": ...}, "target_modules is missing; allowed: text, or a list, each item text."),
        ({"target_modules": []}, "target_modules is []; allowed: some of q_proj"),
        ({"target_modules": ["c_attn"]}, "c_attn is not a linear module of a Llama-like model."),
        ({"target_modules": ["lm_head"]}, "allowed: some of q_proj, k_proj"),
        (
            {"target_modules": "(unclosed"},
            "target_modules is '(unclosed'; allowed: all-linear, or a regular expression",
        ),
        (
            {"target_modules": "nothing"},
            "target_modules is 'nothing'; allowed: all-linear, or a regular expression",
        ),
        (
            {"target_modules": "(a+)+$"},
            "target_modules is '(a+)+$'; allowed: all-linear, or a regular expression",
        ),
        ({"target_modules": ".*q_proj" + "|x" * 1000}, "allowed: all-linear, or a regular expression"),
        ({"use_dora": "yes"}, "use_dora is 'yes'; allowed: true or false."),
        ({"bias": "some"}, "bias is 'some'; allowed: one of none, all, lora_only."),
    ],
)
def test_bad_adapters_are_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = folder(tmp_path, changes)
    with pytest.raises(InputError) as caught:
        adapter_from_folder(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path / 'adapter_config.json'}: ")
    assert len(caught.value.sentences) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_a_file_that_is_no_config(tmp_path: Path, content: str) -> None:
    path = folder(tmp_path, {})
    (path / "adapter_config.json").write_text(content)
    with pytest.raises(InputError) as caught:
        adapter_from_folder(path)
    assert len(caught.value.sentences) == 1


def test_a_missing_folder_and_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"absent: no such folder\. Name the folder that holds adapter_config\.json"
    ):
        adapter_from_folder(tmp_path / "absent")
    with pytest.raises(InputError, match=r"adapter_config\.json: no such file"):
        adapter_from_folder(tmp_path)
