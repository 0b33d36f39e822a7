"""The base model: the sizes that decide its step time and memory."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from advisor.spec.spec import Spec, WeightsDtype

Module = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ATTENTION_MODULES: Final[tuple[Module, ...]] = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_MODULES: Final[tuple[Module, ...]] = ("gate_proj", "up_proj", "down_proj")
ALL_LINEAR: Final = ATTENTION_MODULES + MLP_MODULES


class ModelShape(Spec):
    """Sizes of a dense decoder of the Llama family, as its Hugging Face config.json names them."""

    name: str = Field(min_length=1, description="The catalog's name, or the folder that holds config.json.")
    hidden_size: int = Field(ge=1, le=65536, description="hidden_size in config.json.")
    layers: int = Field(ge=1, le=1024, description="num_hidden_layers in config.json.")
    heads: int = Field(ge=1, le=1024, description="num_attention_heads in config.json.")
    kv_heads: int = Field(ge=1, le=1024, description="num_key_value_heads in config.json.")
    head_dim: int = Field(ge=1, le=1024, description="head_dim in config.json, or hidden_size / heads.")
    intermediate_size: int = Field(ge=1, le=1_000_000, description="intermediate_size in config.json.")
    vocab_size: int = Field(ge=1, le=10_000_000, description="vocab_size in config.json.")
    tie_word_embeddings: bool = Field(False, description="tie_word_embeddings in config.json.")
    weights_dtype: WeightsDtype = Field(WeightsDtype.BFLOAT16, description="bfloat16 or fp8.")
    source: str = Field("", description="Where these sizes were read.")

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelShape:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide heads ({self.heads}); got {self.kv_heads}")
        return self

    def linear_shape(self, module: str) -> tuple[int, int]:
        """Return (d_in, d_out) of one linear module of a layer."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden_size, query),
            "k_proj": (self.hidden_size, key),
            "v_proj": (self.hidden_size, key),
            "o_proj": (query, self.hidden_size),
            "gate_proj": (self.hidden_size, self.intermediate_size),
            "up_proj": (self.hidden_size, self.intermediate_size),
            "down_proj": (self.intermediate_size, self.hidden_size),
        }[module]

    @property
    def layer_parameters(self) -> int:
        """Linear parameters of all layers (norms left out)."""
        return self.layers * sum(d_in * d_out for d_in, d_out in map(self.linear_shape, ALL_LINEAR))

    @property
    def parameters(self) -> int:
        """Parameters of layers, embedding and head."""
        return self.layer_parameters + self.vocab_size * self.hidden_size * (
            1 if self.tie_word_embeddings else 2
        )

    @property
    def weights_bytes(self) -> float:
        """Bytes of the stored weights; embedding and head stay in bfloat16 whatever the linear dtype is."""
        rest = self.parameters - self.layer_parameters
        return self.layer_parameters * self.weights_dtype.bytes_per_parameter + rest * 2.0

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values of one token over all layers, in bfloat16."""
        return 2 * self.layers * self.kv_heads * self.head_dim * 2


def lora_elements(model: ModelShape, modules: tuple[str, ...], rank: int) -> int:
    """Elements of A and B over all layers: layers · Σ_m r · (d_in + d_out). Source: design.md section 3."""
    return model.layers * rank * sum(sum(model.linear_shape(module)) for module in modules)


def adapter_bytes(model: ModelShape, modules: tuple[str, ...], rank: int, dtype_bytes: float = 2.0) -> float:
    """Bytes of one adapter of this rank (Llama-3.1-8B, all linear modules, rank 16: 84 MB)."""
    return lora_elements(model, modules, rank) * dtype_bytes
