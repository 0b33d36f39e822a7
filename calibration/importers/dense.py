"""Dense and head terms of a model: measured matrix products plus an estimate of everything element-wise.

    dense(T) = layers · (qkv + o + gate_up + down)(T) + layers · Σ_kernels (launch + bytes(T) / rate)
    head(R)  = lm_head(R) + final norm + sampling(R)

Engines fuse q, k, v and gate, up into one product each; tensor parallelism divides the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.spec.model import ModelShape
from advisor.spec.spec import WeightsDtype
from calibration.importers.gemms import GemmTable

Array = NDArray[np.float64]

KERNEL_S = 2.4e-6
"""One small element-wise kernel inside a captured graph: vLLM 0.19's norms, rotary embedding and activation
took 1.9-2.7 µs at one token on an RTX PRO 6000 and an RTX 4090 (LLMServingSim @ 5daddb21a545)."""

BANDWIDTH_SHARE = 0.75
"""Share of the datasheet bandwidth that element-wise kernels reach on large inputs: 0.58 on an H100
(activation, Vidur @ 7d47513363ec), 0.87-1.04 on RTX 4090 and RTX PRO 6000 (LLMServingSim, as above)."""

SAMPLER_S = 22e-6
"""Sampler at one row: 10-25 µs on an RTX PRO 6000, 25 µs on an RTX 4090 (LLMServingSim, per_sequence)."""

SAMPLER_BYTES_PER_LOGIT = 8.0
"""Traffic of the sampler a logit: 256 rows of 128,256 logits took 139 µs more than one on an RTX PRO 6000,
286 on an RTX 4090 (LLMServingSim, per_sequence); eight bytes at datasheet bandwidth give 147 and 261 µs."""


@dataclass(frozen=True, slots=True)
class Split:
    """Sizes of one device's share of a layer."""

    hidden: int
    query: float
    key: float
    inner: float
    vocab: float

    @classmethod
    def of(cls, model: ModelShape, tensor_parallel: int) -> Split:
        """Divide heads, inner size, vocabulary; KV heads are copied on more devices than heads."""
        return cls(
            hidden=model.hidden_size,
            query=model.heads * model.head_dim / tensor_parallel,
            key=model.kv_heads * model.head_dim / min(tensor_parallel, model.kv_heads),
            inner=model.intermediate_size / tensor_parallel,
            vocab=model.vocab_size / tensor_parallel,
        )

    @property
    def products(self) -> tuple[tuple[float, float], ...]:
        """(n, k) of the four packed products of a layer: qkv, o, gate_up, down."""
        return (
            (self.query + 2 * self.key, self.hidden),
            (self.hidden, self.query),
            (2 * self.inner, self.hidden),
            (self.hidden, self.inner),
        )


def dense_gemms_s(table: GemmTable, model: ModelShape, tensor_parallel: int, tokens: Array) -> Array:
    """Seconds of all layers' matrix products on one device, for each number of tokens; like `tokens`.

    Args:
        table: measured seconds by (m, n, k).
        model: its layers and sizes.
        tensor_parallel: devices that share the products.
        tokens: new tokens of a step, m of each product.
    """
    split = Split.of(model, tensor_parallel)
    return np.asarray(model.layers * sum(table.at(tokens, n, k) for n, k in split.products))


def elementwise_s(
    model: ModelShape, tensor_parallel: int, tokens: Array, bandwidth_bytes_per_s: float
) -> Array:
    """Seconds of norms, residual, rotary embedding, KV write, activation, fp8 quantisation; all layers.

    Bytes a token and layer: two norms read and write hidden and residual (16 · hidden), rotary embedding
    reads and writes q and k (4 · (q + k)), the KV write 8 · k, the activation reads gate and up and writes
    one (6 · inner); with fp8 weights every product's input is read once more and written in one byte.
    """
    split = Split.of(model, tensor_parallel)
    kernels = 5
    moved = 16.0 * split.hidden + 4.0 * (split.query + split.key) + 8.0 * split.key + 6.0 * split.inner
    if model.weights_dtype is WeightsDtype.FP8:
        moved += 3.0 * sum(k for _, k in split.products)
    return np.asarray(
        model.layers * (kernels * KERNEL_S + moved * tokens / (BANDWIDTH_SHARE * bandwidth_bytes_per_s))
    )


def head_s(
    table: GemmTable, model: ModelShape, tensor_parallel: int, rows: Array, bandwidth_bytes_per_s: float
) -> Array:
    """Seconds of final norm, LM head (bfloat16 always) and sampling for `rows` rows.

    A tensor-parallel group gathers its logits: rows · vocab · 2 bytes, part of the sampler's traffic.
    """
    split = Split.of(model, tensor_parallel)
    sampled = rows * model.vocab_size * SAMPLER_BYTES_PER_LOGIT / bandwidth_bytes_per_s
    norm = KERNEL_S + rows * 8.0 * split.hidden / (BANDWIDTH_SHARE * bandwidth_bytes_per_s)
    return np.asarray(table.at(rows, split.vocab, split.hidden) + norm + SAMPLER_S + sampled)


def rising(values: Array) -> Array:
    """The nearest rising curve in the least-squares sense of logs, same shape and unit; values above 0.

    Pool adjacent violators (Ayer et al. 1955).

    Measured tables dip where kernels change; a larger step is not faster on an engine that could pad.
    """
    blocks: list[tuple[float, int]] = []
    for value in np.log(values):
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    return np.asarray(np.exp(np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])))


def knots(x: Array, y: Array, *, error: float) -> Array:
    """Indices of points between which straight lines stay within `error` (relative) of all the others.

    Splitting as of Douglas and Peucker 1973, with relative error. The first and the last point always stay.

    Args:
        x: rising, shape (points,).
        y: not 0, shape (points,).
        error: allowed |line / y - 1|.
    """
    keep = {0, len(x) - 1}
    stack = [(0, len(x) - 1)]
    while stack:
        left, right = stack.pop()
        if right - left < 2:
            continue
        inner = np.arange(left + 1, right)
        line = np.interp(x[inner], [x[left], x[right]], [y[left], y[right]])
        off = np.abs(line / y[inner] - 1.0)
        worst = int(np.argmax(off))
        if off[worst] > error:
            middle = int(inner[worst])
            keep.add(middle)
            stack += [(left, middle), (middle, right)]
    return np.asarray(sorted(keep))
