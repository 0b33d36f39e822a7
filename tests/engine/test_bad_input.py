"""Whatever is wrong with a model, an adapter, limits or a request is one clear sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
from safetensors.torch import load_file, save_file

from advisor.errors import InputError
from calibration.engine.config import read_architecture
from calibration.engine.options import EngineOptions
from calibration.engine.peft import describe_adapter, inside
from tests.engine.conftest import Tiny
from tests.engine.models import save_adapter, save_model, some_tokens
from tests.engine.running import engine_for

Change = Callable[[Path], object]


def config(**values: Any) -> Change:
    """Change fields of whichever config file the folder has; None removes one."""

    def change(folder: Path) -> None:
        file = next(folder / n for n in ("adapter_config.json", "config.json") if (folder / n).exists())
        raw = {**json.loads(file.read_text()), **values}
        file.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    """Change the tensors of whichever safetensors file the folder has."""

    def rewrite(folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        held = load_file(file)
        change(held)
        save_file(held, file)

    return rewrite


def truncate(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])


def garble(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(b"\xff" * 64)


def only_a_pickle(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.rename(file.with_suffix(".bin"))


def index(**weight_map: str) -> Change:
    def write(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def without_weights(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.unlink()


def link_out(name: str) -> Change:
    def link(folder: Path) -> None:
        outside = folder.parent / f"outside-{name}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return link


NORM = "model.norm.weight"
Q = "model.layers.1.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (only_a_pickle, r"model\.bin: is a pickle, which can run code"),
        (without_weights, r"holds neither model\.safetensors nor"),
        (truncate, r"model\.safetensors: is not a whole safetensors file"),
        (garble, r"model\.safetensors: is not a whole safetensors file"),
        (tensors(lambda held: held.pop(NORM)), rf"{NORM} is missing from the safetensors files"),
        (tensors(lambda held: held.update(new=torch.zeros(1))), r"new is not a tensor of this architecture"),
        (
            tensors(lambda held: held.update({NORM: torch.zeros(31)})),
            r"norm\.weight has shape \[31\]; allowed: \[32\]",
        ),
        (tensors(lambda held: held.update({NORM: torch.zeros(32, dtype=torch.int8)})), "has dtype I8"),
        (index(a="../model.safetensors"), r"weight_map names '\.\./model\.safetensors'"),
        (index(a="/etc/passwd"), "weight_map names '/etc/passwd'"),
        (index(a="model-2.bin"), r"model-2\.bin: is a pickle"),
        (index(a="model-2.safetensors"), r"model-2\.safetensors: no such file"),
        (index(), "weight_map is not a mapping"),
        (config(hidden_act="gelu"), "hidden_act is 'gelu'; allowed: silu"),
        (config(model_type="gemma", head_dim=8), "model_type is 'gemma'; allowed: one of llama"),
        (config(model_type="mixtral"), "mixtral is a mixture of experts"),
        (
            config(rope_parameters={"rope_type": "yarn", "factor": 4.0}),
            r"rope_parameters\.rope_type is 'yarn'",
        ),
        (config(rope_parameters=None, rope_scaling={"type": "su"}), r"rope_scaling\.rope_type is 'su'"),
        (
            config(rope_parameters={"rope_type": "llama3", "factor": 4.0}),
            "original_max_position_embeddings is miss",
        ),
        (config(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5; allowed: 1"),
        (config(dtype="float64"), "dtype is 'float64'"),
        (config(quantization_config={"quant_method": "fp8"}), "quantization_config is 'fp8'; allowed: none"),
        (config(num_hidden_layers=3), r"layers\.2\.\S+ is missing(.|\n)*and \d more of this kind"),
        (config(max_position_embeddings=None), "max_position_embeddings is missing"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_by_name(
    change: Change, words: str, tiny: Tiny, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny.model, tmp_path / "model")
    change(folder)
    with pytest.raises(InputError, match=words):
        engine_for(folder)


A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
B = A.replace("lora_A", "lora_B")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (only_a_pickle, r"adapter_model\.bin: is a pickle, which can run code"),
        (without_weights, r"adapter_model\.safetensors: no such file"),
        (truncate, r"adapter_model\.safetensors: is not a whole safetensors file"),
        (shutil.rmtree, "no such folder"),
        (link_out("adapter_model.safetensors"), r"adapter_model\.safetensors: is a link out of its folder"),
        (link_out("adapter_config.json"), r"adapter_config\.json: is a link out of its folder"),
        (config(use_dora=True), "use_dora: DoRA"),
        (config(modules_to_save=["lm_head"]), "modules_to_save: fully trained modules"),
        (config(bias="lora_only"), "bias: trained biases"),
        (config(lora_bias=True), "bias: trained biases"),
        (config(init_lora_weights="pissa"), "init_lora_weights: an initialisation"),
        (config(layer_replication=[[0, 2], [1, 2]]), "layer_replication: repeated layers"),
        (config(target_modules=["q_proj", "lm_head"]), "an adapted embedding or head"),
        (config(alora_invocation_tokens=[1, 2]), "alora_invocation_tokens"),
        (config(r=9), "rank is 9; allowed: at most 8"),
        (config(rank_pattern={"q_proj": 64}), "rank is 64; allowed: at most 8"),
        (config(r=3), r"lora_A\.weight has shape \[4, 32\]; allowed: \[3, 32\] for rank 3"),
        (
            config(rank_pattern={"layers.1.self_attn.q_proj": 3}),
            r"1\.self_attn\.q_proj\.lora_A\.weight has shape",
        ),
        (config(rank_pattern={"(a+)+b": 4}), r"rank_pattern has the key '\(a\+\)\+b'"),
        (config(alpha_pattern={"(": 4}), r"alpha_pattern has the key '\('"),
        (config(peft_type="IA3"), "peft_type is 'IA3'"),
        (tensors(lambda held: held.pop(B)), r"layers\.1\.self_attn\.q_proj\.lora_B\.weight is missing"),
        (
            tensors(lambda held: (held.pop(A), held.pop(B))),
            r"layers\.1\.self_attn\.q_proj has no LoRA matrices",
        ),
        (
            tensors(
                lambda held: held.update({A.replace("lora_A.weight", "lora_magnitude_vector"): torch.ones(4)})
            ),
            "lora_magnitude_vector is not a LoRA matrix",
        ),
        (tensors(lambda held: held.update({B: torch.zeros(31, 4)})), r"\[31, 4\]; allowed: \[32, 4\]"),
        (tensors(lambda held: held.clear()), "has no LoRA matrices"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_by_name(
    change: Change, words: str, tiny: Tiny, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny.adapters["plain"], tmp_path / "adapter")
    change(folder)
    engine = engine_for(tiny.model, {"good": tiny.adapters["plain"]})
    with pytest.raises(InputError, match=words):
        engine.add_adapter("bad", folder)
    assert engine.adapters == ("good",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 64}, r"q_proj\.lora_A\.weight has shape \[4, 32\]; allowed: \[4, 64\]"),
        ({"num_hidden_layers": 1}, "base has 1 layers. Is it for another base"),
        ({"num_hidden_layers": 3}, r"layers\.2\.\S+ has no LoRA matrices"),
        ({"num_key_value_heads": 4}, r"k_proj\.lora_B\.weight has shape \[16, 4\]; allowed: \[32, 4\]"),
    ],
)
def test_an_adapter_of_another_base_is_refused(
    changes: dict[str, Any], words: str, tiny: Tiny, tmp_path: Path
) -> None:
    base = save_model(tmp_path / "base", **changes)
    with pytest.raises(InputError, match=words):
        engine_for(base, {"other": tiny.adapters["plain"]})


def test_an_adapter_without_alpha_has_that_of_peft(tiny: Tiny, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.adapters["plain"], tmp_path / "adapter")
    config(lora_alpha=None)(folder)
    described = describe_adapter(folder, read_architecture(tiny.model).shape)
    assert set(described.scales.values()) == {2.0}  # 8 / 4


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc", "..", ".", "link"])
def test_adapter_names_that_climb_out_of_their_root_are_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="lies outside of"):
        inside(root, name)
    assert inside(root, "a/b") == root / "a/b"


@pytest.mark.parametrize(
    ("options", "limits", "words"),
    [
        (EngineOptions(kv_blocks=0), {}, "kv_blocks is 0; allowed: at least 1"),
        (EngineOptions(dtype="int8"), {}, "dtype is 'int8'; allowed: auto, float32"),
        (EngineOptions(device="tpu"), {}, "device is 'tpu'; allowed: cpu, cuda"),
        (EngineOptions(device="meta"), {}, "device is 'meta'; allowed: cpu, cuda"),
        (EngineOptions(), {"async_scheduling": True}, "async_scheduling is true; allowed: false"),
    ],
)
def test_impossible_engines_are_refused(
    options: EngineOptions, limits: dict[str, Any], words: str, tiny: Tiny
) -> None:
    with pytest.raises(InputError, match=words):
        engine_for(tiny.model, options=options, **limits)


@pytest.mark.parametrize(
    ("prompt", "wish", "words"),
    [
        ([], {}, "the prompt is empty"),
        ([1], {"max_tokens": 0}, "max_tokens is 0"),
        ([97], {}, "outside of the vocabulary, 0 to 96"),
        ([-1], {}, "outside of the vocabulary, 0 to 96"),
        (some_tokens(40), {"max_tokens": 10}, "are 50 tokens; allowed: at most 49"),
        ([1], {"adapter": "no"}, "adapter is 'no'; allowed: yes. Register it first"),
    ],
)
def test_impossible_requests_are_refused_and_leave_nothing(
    prompt: list[int], wish: dict[str, Any], words: str, tiny: Tiny
) -> None:
    engine = engine_for(tiny.model, {"yes": tiny.adapters["plain"]}, EngineOptions(kv_blocks=12))
    with pytest.raises(InputError, match=words):
        engine.add_request(prompt, **wish)
    assert not engine.busy
    engine.check_invariants()


def test_a_request_is_no_longer_than_the_models_positions(tiny: Tiny) -> None:
    engine = engine_for(tiny.model)
    with pytest.raises(InputError, match="are 257 tokens; allowed: at most 256"):
        engine.add_request(some_tokens(250), max_tokens=7)


def test_adapters_need_slots(tiny: Tiny) -> None:
    with pytest.raises(InputError, match="max_loras is 0; allowed: at least 1"):
        engine_for(tiny.model).add_adapter("one", tiny.adapters["plain"])


@pytest.mark.parametrize(("gamma", "most"), [(0, 49), (3, 46)])
def test_the_largest_request_that_is_allowed_ends(gamma: int, most: int, tiny: Tiny) -> None:
    from calibration.engine.speculate import NgramDraft
    from tests.engine.running import run

    options = EngineOptions(kv_blocks=12, draft=NgramDraft(gamma) if gamma else None)
    engine = engine_for(tiny.model, options=options)
    with pytest.raises(InputError, match=f"are {most + 1} tokens; allowed: at most {most}"):
        engine.add_request(some_tokens(40), max_tokens=most + 1 - 40)
    number = engine.add_request(some_tokens(40), max_tokens=most - 40)
    assert len(run(engine)[number]) == most - 40


def test_an_adapter_by_regular_expression_is_served(tiny: Tiny, tmp_path: Path) -> None:
    folder = save_adapter(tmp_path, target_modules=r".*\.self_attn\.(q|v)_proj")
    described = describe_adapter(folder, read_architecture(tiny.model).shape)
    assert sorted(described.scales) == [(layer, m) for layer in (0, 1) for m in ("q_proj", "v_proj")]
