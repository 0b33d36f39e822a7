"""Rotary position embedding (Su et al. 2021), in the half-split form of Hugging Face's Llama."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from calibration.engine.config import Rope


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Radians a position turns each pair: theta^(-2i/d), (head_dim / 2,) in float32.

    linear divides all of them by the factor. llama3 divides the long waves (fewer than low_freq_factor
    turns in the original context), keeps the short ones (more than high_freq_factor) and goes linearly
    between (transformers, modeling_rope_utils.py, _compute_llama3_parameters). dynamic changes nothing
    up to max_position_embeddings, and the engine takes no longer sequences.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    frequencies = 1.0 / rope.theta**exponents
    if rope.kind == "linear":
        return frequencies / rope.factor
    if rope.kind != "llama3":
        return frequencies
    turns = rope.original_positions * frequencies / (2 * math.pi)
    short = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    short = short.clamp(0.0, 1.0)
    return frequencies * (short + (1.0 - short) / rope.factor)


def rope_tables(rope: Rope, head_dim: int, positions: int) -> tuple[Tensor, Tensor]:
    """Cos and sin of each position and dimension: two of (positions, head_dim), float32."""
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), inverse_frequencies(rope, head_dim))
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x: (tokens, heads, head_dim) by cos, sin: (tokens, 1, head_dim)."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin
