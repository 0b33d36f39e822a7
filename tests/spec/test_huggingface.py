from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.spec.huggingface import model_from_config
from advisor.spec.spec import WeightsDtype

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "bfloat16",
}


def config(tmp_path: Path, changes: dict[str, Any]) -> Path:
    folder = tmp_path / "my-model"
    folder.mkdir(exist_ok=True)
    kept = {key: value for key, value in {**LLAMA, **changes}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder / "config.json"


def test_a_llama_is_read_from_its_file_or_its_folder(tmp_path: Path) -> None:
    path = config(tmp_path, {})
    model = model_from_config(path)
    assert (model.name, model.layers, model.kv_heads, model.head_dim) == ("my-model", 32, 8, 128)
    assert model.parameters == pytest.approx(8.03e9, rel=1e-3)  # the model card says 8.03 B
    assert model.kv_bytes_per_token == 131_072
    assert model_from_config(path.parent) == model
    assert model.source == "my-model/config.json"  # a profile holds it, and goes to other machines


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"model_type": "qwen3", "head_dim": 64}, "head_dim", 64),
        ({"num_key_value_heads": ...}, "kv_heads", 32),
        ({"tie_word_embeddings": ...}, "tie_word_embeddings", False),
        ({"tie_word_embeddings": ..., "model_type": "gemma"}, "tie_word_embeddings", True),
        ({"model_type": "qwen2", "sliding_window": 131072, "use_sliding_window": False}, "layers", 32),
        ({"model_type": "mistral", "sliding_window": None}, "layers", 32),
        ({"quantization_config": {"quant_method": "fp8"}}, "weights_dtype", WeightsDtype.FP8),
        ({"quantization_config": {"quant_method": "fbgemm_fp8"}}, "weights_dtype", WeightsDtype.FP8),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
                }
            },
            "weights_dtype",
            WeightsDtype.FP8,
        ),
    ],
)
def test_fields_and_their_defaults(
    tmp_path: Path, changes: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(model_from_config(config(tmp_path, changes)), field) == value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model_type": ...},
            "model_type is missing; allowed: one of llama, mistral, qwen2, qwen3, gemma. It names",
        ),
        ({"model_type": 3}, "model_type is 3; allowed: one of llama"),
        ({"model_type": "mixtral"}, "mixtral is a mixture of experts, which is not modelled yet."),
        (
            {"model_type": "deepseek_v3"},
            "deepseek_v3 is a mixture of experts with latent attention (MLA), which is",
        ),
        (
            {"model_type": "gemma3_text"},
            "gemma3_text alternates sliding-window and full attention, which is not",
        ),
        (
            {"model_type": "brand_new"},
            "model_type is 'brand_new'; allowed: llama, mistral, qwen2, qwen3, gemma; which",
        ),
        (
            {"model_type": "brand_new", "num_experts": 8},
            "brand_new is a mixture of experts, which is not modelled",
        ),
        (
            {"model_type": "mistral", "sliding_window": 4096},
            "sliding_window is 4096; allowed: null; attention over a",
        ),
        (
            {"layer_types": ["full_attention", "sliding_attention"]},
            "layer_types names 'sliding_attention'; allowed: full_attention",
        ),
        (
            {"hidden_size": ...},
            "hidden_size is missing; allowed: a whole number, at least 1 and at most 65536.",
        ),
        ({"hidden_size": "4096"}, "hidden_size is '4096'; allowed: a whole number"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1; allowed: at least 1 and at most 1024."),
        (
            {"num_hidden_layers": 10**9},
            "num_hidden_layers is 1000000000; allowed: at least 1 and at most 1024.",
        ),
        ({"vocab_size": float("nan")}, "vocab_size is nan; allowed: a finite number."),
        ({"num_key_value_heads": 5}, "kv_heads must divide heads (32); got 5."),
        (
            {"hidden_size": 4097},
            "head_dim is missing; allowed: a whole number, as hidden_size (4097) is no multiple",
        ),
        (
            {"quantization_config": {"quant_method": "awq"}},
            "quantization_config.quant_method is 'awq'; allowed: fp8",
        ),
        ({"quantization_config": {}}, "quantization_config.quant_method is None; allowed: fp8"),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int"}}},
                }
            },
            "quant_method is 'compressed-tensors'; allowed: fp8",
        ),
        ({"quantization_config": "gptq"}, "quantization_config.quant_method is 'gptq'; allowed: fp8"),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
                }
            },
            "quant_method is 'compressed-tensors'; allowed: fp8",
        ),
        (
            {"model_type": ..., "peft_type": "LORA"},
            "is an adapter's file; allowed: the base model's config.json.",
        ),
    ],
)
def test_a_config_that_cannot_be_modelled_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = config(tmp_path, changes)
    with pytest.raises(InputError) as caught:
        model_from_config(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(caught.value.sentences) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; allowed: a file with content."),
        ('{"model_type": "llama", "hidden', "not valid JSON"),
        ("[1, 2]", "holds a JSON list; allowed: an object."),
        (
            '{"model_type": "llama", "hidden_size": ' + "9" * 5000 + "}",
            "holds a number with thousands of digits",
        ),
        ("{" + " " * 5_000_000 + "}", "bytes; allowed: at most 4,194,304. Cut the file down."),
        ("[" * 100_000, "is nested too deeply; allowed: a JSON object."),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError) as caught:
        model_from_config(tmp_path / "config.json")
    assert said in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        model_from_config(tmp_path)
