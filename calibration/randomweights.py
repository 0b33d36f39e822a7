"""Models and adapters of a given shape with random weights, in Hugging Face and PEFT layout.

Time does not depend on what the numbers are, so a model whose weights nobody can download is measured by
one of its shape. Acceptance of drafts and quality of merging need real weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from advisor.errors import InputError
from advisor.spec.model import ALL_LINEAR, ATTENTION_MODULES, ModelShape

_STD: Final = 0.02


def write_model(
    shape: ModelShape, folder: Path, *, dtype: str = "bfloat16", seed: int = 0, max_positions: int = 8192
) -> Path:
    """Write a Llama of this shape; an equal one that is there already is kept.

    Raises:
        InputError: it is larger than the memory that is free.
    """
    import torch
    from safetensors.torch import save_file

    config = _config(shape, dtype, max_positions) | {"made_with_seed": seed}
    file = folder / "config.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) == config:
        return folder
    element = {"float32": 4, "bfloat16": 2, "float16": 2}[dtype]
    _check_room(shape, element)
    folder.mkdir(parents=True, exist_ok=True)
    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> Any:
        return torch.randn(*size, generator=generator).mul_(_STD).to(kind)

    hidden = shape.hidden_size
    tensors = {
        "model.embed_tokens.weight": random(shape.vocab_size, hidden),
        "model.norm.weight": torch.ones(hidden, dtype=kind),
    }
    if not shape.tie_word_embeddings:
        tensors["lm_head.weight"] = random(shape.vocab_size, hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{norm}.weight"] = torch.ones(hidden, dtype=kind)
        for module in ALL_LINEAR:
            d_in, d_out = shape.linear_shape(module)
            tensors[f"{prefix}.{_block(module)}.{module}.weight"] = random(d_out, d_in)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    file.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")  # last: it says that all is there
    return folder


def write_adapter(
    shape: ModelShape, folder: Path, rank: int, *, dtype: str = "bfloat16", seed: int = 0
) -> Path:
    """Write a PEFT adapter of all linear modules for a model of this shape."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    generator, kind = torch.Generator().manual_seed(seed), getattr(torch, dtype)
    tensors = {}
    for layer in range(shape.layers):
        for module in ALL_LINEAR:
            d_in, d_out = shape.linear_shape(module)
            path = f"base_model.model.model.layers.{layer}.{_block(module)}.{module}"
            for half, size in (("A", (rank, d_in)), ("B", (d_out, rank))):
                values = torch.randn(*size, generator=generator).mul_(_STD)
                tensors[f"{path}.lora_{half}.weight"] = values.to(kind)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": shape.name, "r": rank,
        "lora_alpha": 2 * rank, "target_modules": list(ALL_LINEAR), "bias": "none", "lora_dropout": 0.0,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def _block(module: str) -> str:
    return "self_attn" if module in ATTENTION_MODULES else "mlp"


def _config(shape: ModelShape, dtype: str, max_positions: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate_size, "vocab_size": shape.vocab_size,
        "tie_word_embeddings": shape.tie_word_embeddings, "torch_dtype": dtype, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": max_positions, "hidden_act": "silu",
    }  # fmt: skip


def _check_room(shape: ModelShape, element_bytes: int) -> None:
    import os

    layer = sum(d_in * d_out for d_in, d_out in map(shape.linear_shape, ALL_LINEAR))
    heads = 1 if shape.tie_word_embeddings else 2
    wanted = element_bytes * (shape.layers * layer + heads * shape.vocab_size * shape.hidden_size)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if wanted > 0.8 * free:
        gib = 2.0**30
        raise InputError(
            f"model is {shape.name}, {wanted / gib:.1f} GiB of weights; allowed here: {0.8 * free / gib:.1f} "
            "GiB, four fifths of the free memory. Choose a smaller model, or a machine with more memory."
        )
