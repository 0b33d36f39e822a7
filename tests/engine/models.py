"""Tiny models and adapters with random weights and the real architectures, written by transformers and PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

VOCAB = 97
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # large, so that logits are far apart and adapters matter
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"rope_parameters": LLAMA3_ROPE}),
    "llama-tied-biased": (
        "Llama",
        {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "llama-linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}},
    ),
    "llama-dynamic": (
        "Llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
}
"""Name -> (architecture, what differs from SIZES)."""


def build_model(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A transformers model with random weights; norms and biases are random too, so that they matter."""
    import transformers

    family, extra = KINDS[kind]
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **extra, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.data.normal_(0, 0.3)
            elif "norm" in name:
                parameter.data.uniform_(0.5, 1.5)
    return model


def save_model(
    folder: Path, kind: str = "llama", seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Path:
    """Write such a model in Hugging Face layout."""
    build_model(kind, seed, **changes).to(dtype).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, kind: str = "llama", seed: int = 1, **lora: Any) -> Path:
    """Write a PEFT adapter for such a model, with a B that is not zero."""
    import peft

    given = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "init_lora_weights": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = peft.get_peft_model(build_model(kind), peft.LoraConfig(**{**given, **lora}))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.2)
    model.save_pretrained(folder)
    return folder


def reference_logits(
    model_dir: Path, tokens: list[int], adapter: Path | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Logits of each token by transformers, with the adapter by PEFT: (tokens, vocab)."""
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype or "auto").eval()
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float()
