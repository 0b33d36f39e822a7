"""Step-time terms of a model on a profile's device: as measured, or predicted from other shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.profile import (
    Curve,
    DecodeAttention,
    GemmGrid,
    LoraTerm,
    MixedAttention,
    ModelTerms,
    PrefillAttention,
    Profile,
    Provenance,
)
from advisor.spec.model import ALL_LINEAR, ModelShape, lora_elements
from advisor.spec.spec import Origin

Floats = NDArray[np.float64]

_EXTRAPOLATION = (0.8, 1.25)
"""Interval of a curve carried over to other shapes; the residuals are in docs/explanation/profiles.md."""


def terms_for(profile: Profile, model: ModelShape, tensor_parallel: int) -> ModelTerms:
    """Return the profile's terms for this model and degree, or predict them from the device's GEMM grid.

    A model matches by shape, not by name. A predicted model is marked *extrapolated* in every curve.

    Raises:
        InputError: neither the model nor a grid and a reference model of the same degree are in the profile.
    """
    for terms in profile.models:
        if terms.tensor_parallel == tensor_parallel and _same_shape(terms.model, model):
            return terms
    if model.heads % tensor_parallel or (
        model.kv_heads % tensor_parallel and tensor_parallel % model.kv_heads
    ):
        raise InputError(
            f"{profile.name}: tensor_parallel is {tensor_parallel}; allowed: a divisor of "
            f"{model.name}'s {model.heads} heads and {model.kv_heads} KV heads."
        )
    reference = _reference(profile, model, tensor_parallel)
    grids = {grid.weights_dtype: grid for grid in profile.gemm}
    grid = grids.get(model.weights_dtype.value)
    theirs = None if reference is None else grids.get(reference.model.weights_dtype.value)
    if grid is None or reference is None or theirs is None:
        known = ", ".join(
            sorted({f"{t.model.name} (tensor parallel {t.tensor_parallel})" for t in profile.models})
        )
        raise InputError(
            f"{profile.name}: has no terms for {model.name} at tensor parallel {tensor_parallel} and nothing "
            f"to predict them from; known: {known or 'none'}. Calibrate this model, or choose another device."
        )
    return _predicted(profile, (grid, theirs), reference, model)


def _same_shape(one: ModelShape, other: ModelShape) -> bool:
    ignore = {"name": "", "source": ""}
    return one.model_copy(update=ignore) == other.model_copy(update=ignore)


def _reference(profile: Profile, model: ModelShape, tensor_parallel: int) -> ModelTerms | None:
    """The measured model that is most like it: same degree, head size and type of weights, nearest in size.

    One of other weights only where there is no other: what is not a product, an eighth of a step and more,
    does not shrink with them.
    """
    like = [
        t
        for t in profile.models
        if t.tensor_parallel == tensor_parallel and t.model.head_dim == model.head_dim
    ]
    size = math.log(model.parameters)

    def unlike(terms: ModelTerms) -> tuple[bool, float]:
        other = terms.model
        return other.weights_dtype is not model.weights_dtype, abs(math.log(other.parameters) - size)

    return min(like, key=unlike, default=None)


def _predicted(
    profile: Profile, grids: tuple[GemmGrid, GemmGrid], reference: ModelTerms, model: ModelShape
) -> ModelTerms:
    """Scale the reference by GEMM time (dense, head) and by heads and layers (attention).

    Args:
        profile: of the device.
        grids: GEMM times in the model's type of weights, and in the reference's.
        reference: terms of a measured model.
        model: whose terms are wanted.
    """
    grid, tensor_parallel = grids[0], reference.tensor_parallel
    m = np.asarray(reference.dense.x)
    shapes = (model, reference.model)
    ours, theirs = (_layer_gemms_s(g, s, tensor_parallel, m) for g, s in zip(grids, shapes, strict=True))
    dense = np.asarray(reference.dense.y_s) * ours / theirs
    rows = np.asarray(reference.head.x)
    ours, theirs = (
        _gemm_s(grid, rows, s.vocab_size / tensor_parallel, s.hidden_size) for s in (model, reference.model)
    )
    head = np.asarray(reference.head.y_s) * ours / theirs
    layers = model.layers / reference.model.layers
    queries = layers * model.heads / reference.model.heads
    keys = layers * model.kv_heads / reference.model.kv_heads
    note = f"predicted from {reference.model.name} and the GEMM grid of {profile.name}"

    def curve(term: Curve, y_s: object) -> Curve:
        return term.model_copy(
            update={**_mark(term), "y_s": tuple(np.asarray(y_s).tolist()), "source": f"{note}; {term.source}"}
        )

    prefill, decode = reference.attn_prefill, reference.attn_decode
    reduce = reference.all_reduce
    hidden = layers * model.hidden_size / reference.model.hidden_size
    return ModelTerms(
        model=model,
        tensor_parallel=tensor_parallel,
        dense=curve(reference.dense, dense),
        head=curve(reference.head, head),
        attn_prefill=PrefillAttention(
            **{**prefill.model_dump(), **_mark(prefill), "source": f"{note}; {prefill.source}"}
            | {"seconds": tuple(tuple(s * queries for s in row) for row in prefill.seconds)}
        ),
        attn_decode=DecodeAttention(
            **{**decode.model_dump(), **_mark(decode), "source": f"{note}; {decode.source}"}
            | {
                "fixed_s": tuple(s * layers for s in decode.fixed_s),
                "per_context_token_s": tuple(s * keys for s in decode.per_context_token_s),
            }
        ),
        attn_mixed=_scaled_mixed(reference.attn_mixed, layers, queries, note),
        all_reduce=None if reduce is None else curve(reduce, np.asarray(reduce.y_s) * hidden),
        lora=_scaled_lora(reference, model, note),
        drafts=tuple(draft for draft in reference.drafts if draft.method == "ngram"),
    )


def _mark(term: Provenance) -> dict[str, Any]:
    """Extrapolated; a datasheet's term stays one, and its interval widens."""
    if term.origin is not Origin.DATASHEET:
        return {"origin": Origin.EXTRAPOLATED, "interval": _EXTRAPOLATION}
    (low, high), (less, more) = term.interval, _EXTRAPOLATION
    return {"origin": term.origin, "interval": (low * less, high * more)}


def _scaled_mixed(
    term: MixedAttention | None, layers: float, queries: float, note: str
) -> MixedAttention | None:
    """Work of every query head: beside prompts, heads of a group are not packed."""
    if term is None:
        return None
    return term.model_copy(
        update={
            **_mark(term),
            "source": f"{note}; {term.source}",
            "fixed_s": tuple(tuple(s * layers for s in row) for row in term.fixed_s),
            "per_context_token_s": tuple(tuple(s * queries for s in row) for row in term.per_context_token_s),
        }
    )


def _scaled_lora(reference: ModelTerms, model: ModelShape, note: str) -> LoraTerm | None:
    """Launches scale with layers, token work with layers · (d_in + d_out); weight bytes are computed."""
    term = reference.lora
    if term is None:
        return None
    layers = model.layers / reference.model.layers
    elements = lora_elements(model, ALL_LINEAR, 1) / lora_elements(reference.model, ALL_LINEAR, 1)
    return term.model_copy(
        update={
            "origin": Origin.ESTIMATED,
            "interval": (0.5, 2.0),
            "source": f"{note}; {term.source}",
            "fixed_s": term.fixed_s * layers,
            "per_slot_s": term.per_slot_s * layers,
            "per_slot_token_s": term.per_slot_token_s * layers,
            "per_slot_prompt_token_s": term.per_slot_prompt_token_s * layers,
            "per_adapter_s": term.per_adapter_s * layers,
            "per_token_s": term.per_token_s * elements,
            "per_prompt_token_s": term.per_prompt_token_s * elements,
            "per_token_rank_s": term.per_token_rank_s * elements,
            "base_step_s": term.base_step_s * layers,
        }
    )


def _layer_gemms_s(grid: GemmGrid, model: ModelShape, tensor_parallel: int, m: Floats) -> Floats:
    """Seconds of one step's four packed matrix products over all layers, at each m."""
    query = model.heads * model.head_dim / tensor_parallel
    key = model.kv_heads * model.head_dim / max(1, min(tensor_parallel, model.kv_heads))
    inner = model.intermediate_size / tensor_parallel
    shapes = (
        (query + 2 * key, model.hidden_size),
        (model.hidden_size, query),
        (2 * inner, model.hidden_size),
        (model.hidden_size, inner),
    )
    one = np.zeros(len(m))
    for n, k in shapes:
        one += _gemm_s(grid, m, n, k)
    return model.layers * one


def _gemm_s(grid: GemmGrid, m: Floats, n: float, k: float) -> Floats:
    """Log-linear interpolation of measured products; above the grid the nearest edge scaled by flops."""
    axes = [np.log(np.asarray(axis)) for axis in (grid.m, grid.n, grid.k)]
    seconds = np.log(np.asarray(grid.seconds))
    wanted = [np.log(np.maximum(m, 1.0)), np.full(len(m), math.log(n)), np.full(len(m), math.log(k))]
    inside = [np.clip(w, axis[0], axis[-1]) for w, axis in zip(wanted, axes, strict=True)]
    total = np.zeros(len(m))
    places = []
    for at, axis in zip(inside, axes, strict=True):
        left = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
        places.append((left, (at - axis[left]) / (axis[left + 1] - axis[left])))
    for corner in range(8):
        weight, index = np.ones(len(m)), []
        for axis, (left, along) in enumerate(places):
            high = corner >> axis & 1
            weight = weight * (along if high else 1 - along)
            index.append(left + high)
        total += weight * seconds[tuple(index)]
    beyond = sum(w - i for w, i in zip(wanted, inside, strict=True))
    result: Floats = np.exp(total + np.maximum(beyond, 0.0))
    return result
