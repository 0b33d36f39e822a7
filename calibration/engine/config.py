"""What the engine computes, read from a Hugging Face config.json; the rest is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from advisor.errors import InputError, validated
from advisor.files import read_json
from advisor.problem import Problem
from advisor.spec.huggingface import model_from_config
from advisor.spec.model import ModelShape
from advisor.spec.spec import Spec, WeightsDtype

RopeKind = Literal["default", "linear", "dynamic", "llama3"]
_ROPES: Final[tuple[RopeKind, ...]] = ("default", "linear", "dynamic", "llama3")
_TYPES: Final = ("llama", "mistral", "qwen2", "qwen3")
_DTYPES: Final = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding, as `rope.py` computes it."""

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0  # llama3 alone
    high_freq_factor: float = 4.0  # llama3 alone
    original_positions: int = 0  # llama3 alone: positions before the context was extended


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder of the Llama family: its sizes, and the few ways in which its members differ."""

    shape: ModelShape
    rope: Rope
    norm_eps: float
    max_positions: int
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    qk_norm: bool  # RMSNorm over each head of q and k (Qwen3)
    stored_dtype: str  # float32, bfloat16 or float16
    eos_tokens: frozenset[int]

    @property
    def heads_width(self) -> int:
        """Width of all query heads."""
        return self.shape.heads * self.shape.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key (or value) heads."""
        return self.shape.kv_heads * self.shape.head_dim


class _RopeConfig(Spec):
    """rope_scaling (transformers 4) or rope_parameters (transformers 5)."""

    model_config = ConfigDict(extra="ignore")

    rope_theta: float | None = Field(None, gt=0)
    rope_type: str | None = None
    type: str | None = None  # the older name of rope_type
    factor: float = Field(1.0, ge=1)
    low_freq_factor: float = Field(1.0, gt=0)
    high_freq_factor: float = Field(4.0, gt=0)
    original_max_position_embeddings: int | None = Field(None, ge=1)


class _Config(Spec):
    """Fields of config.json beside the sizes that `advisor.spec.huggingface` reads."""

    model_config = ConfigDict(extra="ignore")

    model_type: str
    hidden_act: str = "silu"
    rms_norm_eps: float = Field(1e-6, gt=0)
    max_position_embeddings: int = Field(ge=1, le=100_000_000)
    rope_theta: float | None = Field(None, gt=0)
    rope_scaling: _RopeConfig | None = None
    rope_parameters: _RopeConfig | None = None
    partial_rotary_factor: float = 1.0
    attention_bias: bool = False
    mlp_bias: bool = False
    layer_types: tuple[str, ...] | None = None
    dtype: str | None = None
    torch_dtype: str | None = None  # the older name of dtype
    eos_token_id: int | tuple[int, ...] | None = None


def read_architecture(model_dir: str | Path) -> Architecture:
    """Read config.json of a model folder.

    Raises:
        InputError: no such folder, an unusable file, or an architecture that the engine does not compute.
    """
    file = Path(model_dir) / "config.json"
    source = str(file)
    shape = model_from_config(file)
    config = validated(_Config, _without_nulls(read_json(file)), source)
    dtype = config.dtype or config.torch_dtype or "float32"
    _refuse(shape, config, dtype, source)
    eos = config.eos_token_id
    return Architecture(
        shape=shape,
        rope=_rope(config, source),
        norm_eps=config.rms_norm_eps,
        max_positions=config.max_position_embeddings,
        qkv_bias=config.attention_bias or config.model_type == "qwen2",
        o_bias=config.attention_bias and config.model_type != "qwen2",
        mlp_bias=config.mlp_bias and config.model_type == "llama",
        qk_norm=config.model_type == "qwen3",
        stored_dtype=dtype,
        eos_tokens=frozenset(() if eos is None else (eos,) if isinstance(eos, int) else eos),
    )


def _without_nulls(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if value is not None}


def _refuse(shape: ModelShape, config: _Config, dtype: str, source: str) -> None:
    """Name everything that is not computed."""
    kinds = set(config.layer_types or ())
    rules: list[tuple[bool, str, object, str]] = [
        (config.model_type in _TYPES, "model_type", config.model_type, f"one of {', '.join(_TYPES)}"),
        (config.hidden_act == "silu", "hidden_act", config.hidden_act, "silu"),
        (config.partial_rotary_factor == 1, "partial_rotary_factor", config.partial_rotary_factor, "1"),
        (kinds <= {"full_attention"}, "layer_types", sorted(kinds), "full_attention for each layer"),
        (dtype in _DTYPES, "dtype", dtype, f"one of {', '.join(_DTYPES)}"),
        (shape.head_dim % 2 == 0, "head_dim", shape.head_dim, "an even number"),
        (
            shape.weights_dtype is WeightsDtype.BFLOAT16,
            "quantization_config",
            shape.weights_dtype.value,
            "none; the built-in engine computes in 16 or 32 bits",
        ),
    ]
    problems = [
        Problem(source, field, value, allowed, "The built-in engine computes nothing else.")
        for kept, field, value, allowed in rules
        if not kept
    ]
    if problems:
        raise InputError(problems)


def _rope(config: _Config, source: str) -> Rope:
    field = "rope_parameters" if config.rope_parameters else "rope_scaling"
    given = config.rope_parameters or config.rope_scaling or _RopeConfig()
    named = given.rope_type or given.type or "default"
    kind = next((rope for rope in _ROPES if rope == named), None)
    if kind is None:
        mend = "The built-in engine computes no other scaling of positions."
        raise InputError(Problem(source, f"{field}.rope_type", named, f"one of {', '.join(_ROPES)}", mend))
    if kind == "llama3" and given.original_max_position_embeddings is None:
        raise InputError(
            Problem(source, f"{field}.original_max_position_embeddings", allowed="a whole number")
        )
    return Rope(
        theta=given.rope_theta or config.rope_theta or 10000.0,
        kind=kind,
        factor=given.factor,
        low_freq_factor=given.low_freq_factor,
        high_freq_factor=given.high_freq_factor,
        original_positions=given.original_max_position_embeddings or 0,
    )
