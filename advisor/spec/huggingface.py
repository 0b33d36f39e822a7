"""Reading a model's sizes from a Hugging Face config.json, or saying why we do not model it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, Field

from advisor.errors import InputError, validated
from advisor.files import read_json
from advisor.problem import ABSENT, Problem
from advisor.spec.model import ModelShape
from advisor.spec.spec import Spec, WeightsDtype

_MAX_BYTES: Final = 4 * 2**20  # a config.json has some thousands
MODELLED_TYPES: Final = ("llama", "mistral", "qwen2", "qwen3", "gemma")
_REASONS: Final = {
    "gemma2": "alternates sliding-window and full attention",
    "gemma3": "alternates sliding-window and full attention, and reads images",
    "gemma3_text": "alternates sliding-window and full attention",
    "phi3": "fuses q, k, v and gate, up into one module each, which adapters name differently",
    "gpt_oss": "is a mixture of experts with sliding windows",
    "llama4": "is a mixture of experts",
    "llama4_text": "is a mixture of experts",
    "mixtral": "is a mixture of experts",
    "qwen2_moe": "is a mixture of experts",
    "qwen3_moe": "is a mixture of experts",
    "qwen3_next": "mixes linear attention and experts",
    "qwen3_5_text": "mixes linear attention and full attention",
    "deepseek_v2": "is a mixture of experts with latent attention (MLA)",
    "deepseek_v3": "is a mixture of experts with latent attention (MLA)",
    "kimi_k2": "is a mixture of experts with latent attention (MLA)",
    "mamba": "has no attention",
}


class _Config(Spec):
    """The fields of config.json that decide sizes; the others are ignored."""

    model_config = ConfigDict(extra="ignore")

    hidden_size: int = Field(ge=1, le=65536)
    num_hidden_layers: int = Field(ge=1, le=1024)
    num_attention_heads: int = Field(ge=1, le=1024)
    num_key_value_heads: int | None = Field(None, ge=1, le=1024)
    head_dim: int | None = Field(None, ge=1, le=1024)
    intermediate_size: int = Field(ge=1, le=1_000_000)
    vocab_size: int = Field(ge=1, le=10_000_000)
    tie_word_embeddings: bool | None = None
    sliding_window: int | None = Field(None, ge=0)
    use_sliding_window: bool | None = None
    layer_types: tuple[str, ...] | None = None


def model_from_config(path: str | Path) -> ModelShape:
    """Read the sizes of a dense decoder from a config.json, or from the folder that holds one.

    Raises:
        InputError: no such file, not JSON, a size that is missing or absurd, an architecture or a
            quantisation that the step-time model does not cover (with the reason).
    """
    file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
    raw, source = read_json(file, max_bytes=_MAX_BYTES), str(file)
    model_type = _checked_type(raw, source)
    config = validated(_Config, raw, source)
    _check_window(config, model_type, source)
    if config.head_dim is None and config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"{source}: head_dim is missing; allowed: a whole number, as hidden_size ({config.hidden_size}) "
            f"is no multiple of num_attention_heads ({config.num_attention_heads})."
        )
    tied = config.tie_word_embeddings
    shape = {
        "name": str(file.parent.name or file.stem),
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads or config.num_attention_heads,
        "head_dim": config.head_dim or config.hidden_size // config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": tied if tied is not None else model_type == "gemma",
        "weights_dtype": _weights_dtype(raw.get("quantization_config"), source).value,
        "source": str(Path(file.parent.name, file.name)),  # as it is named, wherever it lies
    }
    return validated(ModelShape, shape, source)


def _checked_type(raw: dict[str, Any], source: str) -> str:
    """Return model_type if its step time is modelled; refuse it by name and with the reason otherwise."""
    model_type = raw.get("model_type")
    listed = ", ".join(MODELLED_TYPES)
    if not isinstance(model_type, str):
        if "peft_type" in raw:
            raise InputError(f"{source}: is an adapter's file; allowed: the base model's config.json.")
        mend = "It names the architecture; take the config.json from the model's repository."
        value = raw.get("model_type", ABSENT)
        raise InputError(Problem(source, "model_type", value, f"one of {listed}", mend))
    if model_type not in MODELLED_TYPES:
        reason = _REASONS.get(model_type)
        if reason is None and any(
            key in raw for key in ("num_experts", "num_local_experts", "n_routed_experts")
        ):
            reason = "is a mixture of experts"
        why = f"{model_type} {reason}, which" if reason else "which"
        raise InputError(
            f"{source}: model_type is {model_type!r}; allowed: {listed}; {why} is not modelled yet."
        )
    return model_type


def _check_window(config: _Config, model_type: str, source: str) -> None:
    """Refuse a window that is in use; Qwen states one that is switched off."""
    other = sorted(set(config.layer_types or ()) - {"full_attention"})
    if other:
        raise InputError(
            f"{source}: layer_types names {other[0]!r:.40}; allowed: full_attention, as no other is modelled."
        )
    in_use = config.use_sliding_window if config.use_sliding_window is not None else model_type == "mistral"
    if config.sliding_window and in_use:
        raise InputError(
            f"{source}: sliding_window is {config.sliding_window}; allowed: null; "
            f"attention over a window is not modelled, only full attention."
        )


def _weights_dtype(quantisation: object, source: str) -> WeightsDtype:
    """Return the dtype of the linear weights; float16 and float32 files are served as 16-bit too."""
    if quantisation is None:
        return WeightsDtype.BFLOAT16
    if isinstance(quantisation, dict):
        method = quantisation.get("quant_method")
        if method in ("fp8", "fbgemm_fp8") or (method == "compressed-tensors" and _is_float8(quantisation)):
            return WeightsDtype.FP8
        if method == "modelopt" and quantisation.get("quant_algo") == "FP8":
            return WeightsDtype.FP8
    else:
        method = quantisation
    raise InputError(
        f"{source}: quantization_config.quant_method is {method!r:.60}; allowed: fp8, or none (16 bits). "
        f"Other quantisations have kernels that are not modelled."
    )


def _is_float8(quantisation: dict[str, Any]) -> bool:
    """Whether every group of a compressed-tensors file holds 8-bit floats."""
    groups = quantisation.get("config_groups")
    given = (
        [g.get("weights") for g in groups.values() if isinstance(g, dict)] if isinstance(groups, dict) else []
    )
    return bool(given) and all(
        isinstance(weights, dict) and weights.get("num_bits") == 8 and weights.get("type") == "float"
        for weights in given
    )
