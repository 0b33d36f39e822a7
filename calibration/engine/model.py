"""A decoder of the Llama family: pure tensors in, tensors out. Read `forward` first.

Shapes: tokens (T,), hidden (T, d), logits (outputs, vocab). All sequences of a step lie one behind the
other in T; who belongs together is the batch's knowledge (batch.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

from calibration.engine.batch import DecodeBatch, StepBatch
from calibration.engine.config import Architecture
from calibration.engine.kv import KvCache, paged_attention
from calibration.engine.lora import LoraSlots
from calibration.engine.matrix import linear
from calibration.engine.rope import rope_tables, rotate
from calibration.engine.weights import Layer, Weights


@dataclass(frozen=True, slots=True)
class Model:
    """Weights, and the tables that follow from the architecture."""

    architecture: Architecture
    weights: Weights
    cos: Tensor  # (positions, head_dim)
    sin: Tensor

    @classmethod
    def of(cls, architecture: Architecture, weights: Weights, positions: int) -> Model:
        """With position tables for sequences up to this length, on the weights' device."""
        cos, sin = rope_tables(architecture.rope, architecture.shape.head_dim, positions)
        like = weights.embedding
        return cls(architecture, weights, cos.to(like), sin.to(like))


def forward(model: Model, batch: StepBatch, cache: KvCache, slots: LoraSlots | None = None) -> Tensor:
    """Logits of the rows that ask for them, in float32; writes the new tokens' KV."""
    hidden = decoded(model, batch, cache, slots if batch.lora else None)
    return logits_of(model, hidden[batch.output_rows])


def logits_of(model: Model, hidden: Tensor) -> Tensor:
    """hidden: (outputs, d) -> logits (outputs, vocab), in float32."""
    with torch.inference_mode():
        hidden = _norm(hidden, model.weights.norm, model.architecture.norm_eps)
        return linear(hidden, model.weights.head).float()


def decoded(model: Model, batch: StepBatch | DecodeBatch, cache: KvCache, lora: LoraSlots | None) -> Tensor:
    """Hidden states (T, d) behind the last layer; writes the new tokens' KV. No `lora`: the base alone."""
    weights, eps = model.weights, model.architecture.norm_eps
    with torch.inference_mode():
        cos, sin = model.cos[batch.positions, None], model.sin[batch.positions, None]
        hidden = F.embedding(batch.tokens, weights.embedding)
        for index, layer in enumerate(weights.layers):
            x = _norm(hidden, layer.input_norm, eps)
            hidden += _attention(model, layer, index, x, cos, sin, batch, cache, lora)
            x = _norm(hidden, layer.post_norm, eps)
            hidden += _mlp(layer, index, x, batch, lora)
        return hidden


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def _attention(  # noqa: PLR0913 - one step's state, all of it used
    model: Model,
    layer: Layer,
    index: int,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    batch: StepBatch | DecodeBatch,
    cache: KvCache,
    lora: LoraSlots | None,
) -> Tensor:
    """x: (T, hidden) -> (T, hidden)."""
    architecture = model.architecture
    shape, eps = architecture.shape, architecture.norm_eps
    qkv = _linear(layer, "qkv", index, x, batch, lora)
    widths = [architecture.heads_width, architecture.kv_width, architecture.kv_width]
    q, k, v = torch.split_with_sizes(qkv, widths, dim=-1)
    query = q.view(-1, shape.heads, shape.head_dim)
    key = k.view(-1, shape.kv_heads, shape.head_dim)
    value = v.view(-1, shape.kv_heads, shape.head_dim)
    if layer.q_norm is not None and layer.k_norm is not None:
        query, key = _norm(query, layer.q_norm, eps), _norm(key, layer.k_norm, eps)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    else:
        both = qkv[:, : widths[0] + widths[1]].view(-1, shape.heads + shape.kv_heads, shape.head_dim)
        query, key = torch.split_with_sizes(rotate(both, cos, sin), [shape.heads, shape.kv_heads], dim=1)
    cache.write(index, batch.kv_places, key, value)
    return _linear(layer, "o", index, paged_attention(query, cache, index, batch), batch, lora)


def _mlp(
    layer: Layer, index: int, x: Tensor, batch: StepBatch | DecodeBatch, lora: LoraSlots | None
) -> Tensor:
    """SwiGLU, x: (T, hidden) -> (T, hidden)."""
    gate, up = _linear(layer, "gate_up", index, x, batch, lora).chunk(2, dim=-1)
    return _linear(layer, "down", index, F.silu(gate) * up, batch, lora)


def _linear(
    layer: Layer, packed: str, index: int, x: Tensor, batch: StepBatch | DecodeBatch, lora: LoraSlots | None
) -> Tensor:
    """One packed matrix, and each token's adapter on top: x (T, d_in) -> (T, d_out)."""
    out = linear(x, layer.matrices[packed], layer.biases.get(packed))
    if lora is not None:
        lora.add_product(packed, index, x, out, batch)
    return out
