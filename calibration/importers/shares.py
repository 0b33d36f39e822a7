"""What share of its datasheet's ceiling a GPU reaches, from the profiles whose operators were measured.

A product's ceiling is the longer of its bytes at the memory's rate and its operations at the peak rate
(roofline, Williams et al. 2009); the share is ceiling over measured, a function of x = operations' time /
bytes' time. Prompt attention likewise, by chunk and context; decode attention by the bytes of its keys;
all-reduce by its link. The median over GPUs counts; the spread over GPUs is how far off another may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.profile import ModelTerms, Profile
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import WeightsDtype
from calibration.importers.dense import KERNEL_S, Split

Array = NDArray[np.float64]

INTENSITIES = tuple(2.0**power for power in range(-8, 6))
"""x at which shares of products are known; held beyond."""
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
PROMPT_ROW = 3
"""Chunks from this row of a profile's grid on (128 tokens) say how far off prompt attention may be: below,
all are launches, and some tables say nothing at all."""
_KERNELS = 5  # element-wise kernels of a layer


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the ceilings: medians over the GPUs of `profiles`, and what each GPU's are of them.

    Attributes:
        dense: by weights' type, at INTENSITIES.
        prefill: by chunk (rows) and context (columns) as the profiles have them.
        decode: share of the memory's rate, by sequences.
        decode_fixed_s: a layer, by sequences.
        links: with a link of their own (True) and over the host: (seconds of a small all-reduce, share).
        spread: by term, smallest and largest measured over predicted.
        names: of the profiles.
    """

    dense: dict[str, Array]
    prefill: Array
    decode: Array
    decode_fixed_s: Array
    links: dict[bool, tuple[float, float]]
    spread: dict[str, tuple[float, float]]
    names: tuple[str, ...]


def shares_of(profiles: Sequence[Profile]) -> Shares:
    """Measure the shares.

    Args:
        profiles: of measured GPUs with one engine and the same chunks, contexts and sequences.
    """
    dense, spread = {}, {}
    for dtype in WeightsDtype:
        mine = [_dense_shares(one, dtype) for one in profiles]
        dense[dtype.value] = _median([curve for curve in mine if curve is not None])
        spread[f"dense {dtype.value}"] = _spread(mine, dense[dtype.value])
    prefill = [_per_model(one, _prefill_shares) for one in profiles]
    decode = [_per_model(one, _decode_shares) for one in profiles]
    fixed = [
        _per_model(one, lambda _, t: np.asarray(t.attn_decode.fixed_s) / t.model.layers) for one in profiles
    ]
    long = [curve[PROMPT_ROW:] for curve in prefill]
    spread["prefill"] = _spread(long, _median(long))
    spread["decode"] = _spread(decode, _median(decode))
    return Shares(
        dense,
        _median(prefill),
        _median(decode),
        _median(fixed),
        {own: _link(profiles, own_link=own) for own in (True, False)},
        spread,
        tuple(one.name for one in profiles),
    )


def ceilings(device: Device, dtype: WeightsDtype, tokens: Array, n: float, k: float) -> tuple[Array, Array]:
    """Seconds of (m, k) x (k, n) as the memory and as the arithmetic bound them; each like `tokens`.

    Weights are read once, inputs read in the weights' type, outputs written in 16 bit: bytes over the
    memory's rate; 2·m·n·k operations over the peak rate (the roofline of Williams et al. 2009).

    Args:
        device: its rates, bytes/s and FLOP/s.
        dtype: of the weights.
        tokens: m, for each point.
        n: output features.
        k: input features.
    """
    peak = device.bf16_flops_per_s
    if dtype is WeightsDtype.FP8 and device.fp8_flops_per_s:
        peak = device.fp8_flops_per_s
    moved = n * k * dtype.bytes_per_parameter + tokens * (k * dtype.bytes_per_parameter + 2.0 * n)
    return moved / device.bandwidth_bytes_per_s, 2.0 * tokens * n * k / peak


def layer_ceilings(
    device: Device, model: ModelShape, tensor_parallel: int, tokens: Array
) -> tuple[Array, Array]:
    """Memory's and arithmetic's seconds (see `ceilings`) of one layer's four packed products together."""
    products = Split.of(model, tensor_parallel).products
    parts = [ceilings(device, model.weights_dtype, tokens, n, k) for n, k in products]
    return np.sum([b for b, _ in parts], axis=0), np.sum([c for _, c in parts], axis=0)


def at_intensity(shares: Array, memory_s: Array, compute_s: Array) -> Array:
    """Share of the ceiling that is reached at each point: between INTENSITIES linear in log x, held beyond.

    Args:
        shares: at INTENSITIES, bare ratios.
        memory_s: the memory's seconds, shape (points,).
        compute_s: the arithmetic's; x is compute_s / memory_s.
    """
    return np.asarray(np.interp(np.log(compute_s / memory_s), np.log(INTENSITIES), shares))


def pair_ceiling_s(
    device: Device, model: ModelShape, tensor_parallel: int, new: Array, context: Array
) -> Array:
    """Seconds of one layer's prompt attention: 4 · heads · size operations a pair, or reading the keys.

    Args:
        device: its rates.
        model: its heads.
        tensor_parallel: devices that share the heads.
        new: tokens of the chunk, q, shape (points,); each meets the context and half of its own chunk.
        context: tokens before it, same shape.
    """
    split = Split.of(model, tensor_parallel)
    pairs = new * (context + 0.5 * new)
    read = 4.0 * split.key * (context + new)
    return np.asarray(
        np.maximum(4.0 * split.query * pairs / device.bf16_flops_per_s, read / device.bandwidth_bytes_per_s)
    )


def _dense_shares(profile: Profile, dtype: WeightsDtype) -> Array | None:
    tokens = np.asarray(TOKENS, dtype=np.float64)
    found: list[tuple[Array, Array]] = []
    for terms in profile.models:
        if terms.model.weights_dtype is not dtype:
            continue
        known = tokens[tokens <= terms.dense.x[-1]]
        memory, compute = layer_ceilings(profile.device, terms.model, terms.tensor_parallel, known)
        measured = np.interp(known, terms.dense.x, terms.dense.y_s) / terms.model.layers - _KERNELS * KERNEL_S
        found.append((np.log(compute / memory), np.maximum(memory, compute) / measured))
    if not found:
        return None
    places = np.log(INTENSITIES)
    return _median([np.interp(places, x, share) for x, share in found])


def _prefill_shares(device: Device, terms: ModelTerms) -> Array:
    term = terms.attn_prefill
    new, context = np.meshgrid(term.new_tokens, term.context_tokens, indexing="ij")
    one = pair_ceiling_s(device, terms.model, terms.tensor_parallel, new, context)
    return np.asarray(terms.model.layers * one / np.maximum(term.seconds, 1e-9))


def _decode_shares(device: Device, terms: ModelTerms) -> Array:
    split = Split.of(terms.model, terms.tensor_parallel)
    one = terms.model.layers * 4.0 * split.key / device.bandwidth_bytes_per_s
    return np.asarray(one / np.maximum(terms.attn_decode.per_context_token_s, 1e-15))


def _link(profiles: Iterable[Profile], *, own_link: bool) -> tuple[float, float]:
    """(seconds of one small all-reduce, share of the link's rate for large ones): medians."""
    small, share = [], []
    for one in profiles:
        if (one.device.peer_link_bytes_per_s is not None) is not own_link:
            continue
        for terms in one.models:
            if terms.all_reduce is None:
                continue
            times = 2 * terms.model.layers
            small.append(terms.all_reduce.y_s[0] / times)
            large_s = float(np.interp(8192.0, terms.all_reduce.x, terms.all_reduce.y_s)) / times
            share.append(reduce_ceiling_s(one.device, terms.model, terms.tensor_parallel, 8192.0) / large_s)
    return float(np.median(small)), float(np.median(share))


def reduce_ceiling_s(device: Device, model: ModelShape, tensor_parallel: int, tokens: float) -> float:
    """Seconds of one ring all-reduce at the link's rate: 2 (n - 1) / n of the message each way."""
    rate = device.peer_link_bytes_per_s or device.host_link_bytes_per_s
    return 2.0 * (tensor_parallel - 1) / tensor_parallel * tokens * model.hidden_size * 2.0 / rate


def _per_model(profile: Profile, share: Callable[[Device, ModelTerms], Array]) -> Array:
    return _median([share(profile.device, terms) for terms in profile.models])


def _median(curves: Sequence[Array]) -> Array:
    return np.asarray(np.median(np.stack(curves), axis=0))


def _spread(mine: Sequence[Array | None], median: Array) -> tuple[float, float]:
    """Measured over predicted = median share over own share: over GPUs and points, 5 and 95 %."""
    ratios = np.concatenate([(median / curve).ravel() for curve in mine if curve is not None])
    return float(np.quantile(ratios, 0.05)), float(np.quantile(ratios, 0.95))
