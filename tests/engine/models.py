"""Tiny models and adapters: real architectures, random weights, judged by transformers and PEFT."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

torch.set_num_threads(1)  # tests share the cores: a second thread would mostly wait for its turn
peft = pytest.importorskip("peft", reason="no peft; install transformers and peft")
transformers = pytest.importorskip("transformers", reason="no transformers; install transformers and peft")
transformers.utils.logging.disable_progress_bar()

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

ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stabilised": {"r": 8, "use_rslora": True},
    "patterns": {
        "target_modules": ["q_proj", "v_proj", "down_proj"],
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"layers.1.mlp.down_proj": 3},
    },
    "one-layer": {"target_modules": ["o_proj", "up_proj"], "layers_to_transform": [1], "r": 1},
}
"""Name -> what differs from an adapter of rank 4 on all linear modules."""


@contextmanager
def _their_deprecations() -> Iterator[None]:
    """PEFT calls what transformers is about to rename."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def build_model(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A transformers model with random weights; norms and biases are random too, so that they matter."""
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


def save_adapter(folder: Path, kind: str = "llama", seed: int = 1, size: float = 0.2, **lora: Any) -> Path:
    """Write a PEFT adapter for such a model, whose B is not zero."""
    given = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "init_lora_weights": False,
    }
    with torch.random.fork_rng(), _their_deprecations():
        torch.manual_seed(seed)
        model = peft.get_peft_model(build_model(kind), peft.LoraConfig(**{**given, **lora}))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, size)
    model.save_pretrained(str(folder))
    return folder


@functools.lru_cache(maxsize=64)
def reference(model_dir: Path, adapter: Path | None = None, *, merged: bool = False) -> Any:
    """The model by transformers, with the adapter by PEFT."""
    model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype="auto")
    if adapter is not None:
        with _their_deprecations():
            model = peft.PeftModel.from_pretrained(model, adapter)
        if merged:
            model = model.merge_and_unload()
    return model.eval()


def reference_logits(
    model_dir: Path, tokens: list[int], adapter: Path | None = None, *, merged: bool = False
) -> Tensor:
    """Logits of each token: (tokens, vocab)."""
    with torch.no_grad():
        logits: Tensor = reference(model_dir, adapter, merged=merged)(torch.tensor([tokens])).logits[0]
    return logits.float()


def likeliest_answer(
    model_dir: Path, prompt: list[int], answer: list[int], adapter: Path | None = None
) -> list[int]:
    """What transformers and PEFT say at each place of this answer: the same, if it is greedy."""
    logits = reference_logits(model_dir, [*prompt, *answer[:-1]], adapter)
    likeliest: list[int] = logits[len(prompt) - 1 :].argmax(-1).tolist()
    return likeliest


def some_tokens(count: int, seed: int = 0) -> list[int]:
    """Random tokens."""
    tokens: list[int] = torch.randint(
        0, VOCAB, (count,), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return tokens
