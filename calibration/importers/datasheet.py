"""A profile of a GPU that nobody measured, from its datasheet and the shares that measured GPUs reach.

Every term is labelled `datasheet`. Its interval is the spread of the shares over the measured GPUs, widened:
a GPU of another maker or generation may lie beyond what these six show. How good it is where it can be told:
each measured GPU from the shares of the five others, in docs/explanation/profiles.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np

from advisor.catalog.hardware import device as catalog_device
from advisor.catalog.shapes import model as catalog_model
from advisor.errors import InputError
from advisor.profile import (
    Curve,
    DecodeAttention,
    GemmGrid,
    LoraTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    Provenance,
    find_profiles,
    load_profile,
)
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin, WeightsDtype
from advisor.steptime.terms import terms_for
from calibration.importers import carried
from calibration.importers.aiconfigurator import DEGREES, drafts_of, fits
from calibration.importers.dense import (
    BANDWIDTH_SHARE,
    KERNEL_S,
    SAMPLER_BYTES_PER_LOGIT,
    SAMPLER_S,
    Split,
    elementwise_s,
    rising,
)
from calibration.importers.engines import facts_of
from calibration.importers.model_terms import HEAD_ROWS, floats
from calibration.importers.shares import (
    TOKENS,
    Shares,
    at_intensity,
    ceilings,
    layer_ceilings,
    pair_ceiling_s,
    reduce_ceiling_s,
    shares_of,
)

ENGINE: Final = "vllm"
MEASURED: Final = tuple(
    f"{system}-{ENGINE}"
    for system in ("a100_sxm", "b200_sxm", "h100_sxm", "h200_sxm", "l40s", "rtx_pro_6000_server")
)
"""Shipped profiles whose shares are taken; B300, GB200 and GB300 would count the B200's chip four times."""

_WIDER: Final = 1.2
_OWN_LINK: Final = (0.5, 1.7)
_HOST_LINK: Final = (0.3, 5.0)
"""Measured over predicted all-reduce; over PCIe two GPUs were measured, which differ by a factor of ten."""
_CARRIED_WIDER: Final = 1.5
_GRID_M: Final = (1, 16, 64, 256, 1024, 4096, 16384)
_GRID_NK: Final = (512, 1024, 2048, 4096, 8192, 16384, 65536)
_Term = TypeVar("_Term", bound=Provenance)


def datasheet_profile(
    name: str,
    *,
    created: datetime,
    producer: str,
    models: Sequence[str] | None = None,
    largest_degree: int = DEGREES[-1],
    leave_out: str = "",
) -> Profile:
    """Predict every term of a GPU.

    Args:
        name: of the catalog, or an alias.
        created: date of the profile, aware.
        producer: program and version.
        models: catalog names; what the measured profiles hold if left out.
        largest_degree: of tensor parallelism; larger ones are left out.
        leave_out: a measured profile whose shares do not count (to hold the method against it).

    Raises:
        InputError: unknown device or model, or none of the models fits.
    """
    device, facts = catalog_device(name), facts_of(ENGINE)
    measured = tuple(one for one in _measured() if one.name != leave_out)
    shares = shares_of(measured)
    known = [
        _terms(device, terms, shares, measured)
        for terms in _wanted(measured, models)
        if terms.tensor_parallel <= largest_degree
        and fits(device, terms.model, terms.tensor_parallel)
        and _has(device, terms.model.weights_dtype)
    ]
    if not known:
        raise InputError(f"{device.name}: none of the models fits it; allowed: models of at most its memory.")
    ready = tuple(
        one.model_copy(update={"drafts": tuple(_marked(d, 1.5) for d in drafts_of(one, known, device))})
        for one in known
    )
    shared, (disk, slot) = carried.carried(), carried.loads(device)
    return Profile(
        schema_version=1,
        name=f"{device.name.casefold().replace(' ', '_').replace('-', '_')}-{ENGINE}-datasheet",
        method="datasheet",
        created=created,
        producer=producer,
        command=f'calibrate datasheet "{device.name}"',
        device=device,
        engine=ENGINE,
        engine_version=max(one.engine_version for one in measured),
        graph_sizes=facts.captured(device),
        models=ready,
        gemm=tuple(_grid(device, dtype, shares) for dtype in WeightsDtype if _has(device, dtype)),
        host=_marked(shared.host, _CARRIED_WIDER),
        frontend=_marked(shared.frontend, _CARRIED_WIDER),
        loads=(_marked(disk, _CARRIED_WIDER), _marked(slot, _CARRIED_WIDER)),
        memory=_marked(carried.memory(device), _CARRIED_WIDER),
        startup=_marked(shared.startup, _CARRIED_WIDER),
        notes=(
            "Nothing of this device was measured: every term is its datasheet times what others reach.",
            f"Shares are medians over {', '.join(shares.names)}.",
        ),
    )


@lru_cache(maxsize=1)
def _measured() -> tuple[Profile, ...]:
    places = find_profiles()
    return tuple(load_profile(places[name]) for name in MEASURED if name in places)


def _wanted(measured: Sequence[Profile], models: Sequence[str] | None) -> list[ModelTerms]:
    """One row a model and degree: of any measured profile, or predicted in one for another catalog model."""
    rows = {(t.model.name, t.tensor_parallel): t for one in reversed(measured) for t in one.models}
    if models is None:
        return [rows[key] for key in sorted(rows)]
    found = []
    for model in [catalog_model(name) for name in models]:
        for degree in DEGREES:
            if (model.name, degree) in rows:
                found.append(rows[model.name, degree])
            elif not any(name == model.name for name, _ in rows):
                found += _predicted(measured, model, degree)[:1]
    return found


def _predicted(measured: Sequence[Profile], model: ModelShape, degree: int) -> list[ModelTerms]:
    """The model's terms in each measured profile that can predict them."""
    found = []
    for one in measured:
        try:
            found.append(terms_for(one, model, degree).model_copy(update={"model": model}))
        except InputError:
            continue  # no products of this type, or the heads do not divide
    return found


def _has(device: Device, dtype: WeightsDtype) -> bool:
    return dtype is not WeightsDtype.FP8 or device.fp8_flops_per_s is not None


def _terms(device: Device, like: ModelTerms, shares: Shares, measured: Sequence[Profile]) -> ModelTerms:
    """Every device term of a model at a degree; `like` has the axes."""
    model, degree = like.model, like.tensor_parallel
    reduce = None if degree == 1 else _reduce(device, model, degree, shares)
    return ModelTerms(
        model=model,
        tensor_parallel=degree,
        dense=_dense(device, model, degree, shares),
        head=_head(device, model, degree, shares),
        attn_prefill=_prefill(device, like, shares),
        attn_decode=_decode(device, like, shares),
        all_reduce=reduce,
        lora=_lora(device, like, measured),
    )


def _dense(device: Device, model: ModelShape, degree: int, shares: Shares) -> Curve:
    tokens = np.asarray(TOKENS, dtype=np.float64)
    memory, compute = layer_ceilings(device, model, degree, tokens)
    share = at_intensity(shares.dense[model.weights_dtype.value], memory, compute)
    products = model.layers * np.maximum(memory, compute) / share
    seconds = products + elementwise_s(model, degree, tokens, device.bandwidth_bytes_per_s)
    spread = shares.spread[f"dense {model.weights_dtype.value}"]
    return Curve(**_said(spread, "products"), x=floats(tokens), y_s=floats(rising(seconds)))


def _head(device: Device, model: ModelShape, degree: int, shares: Shares) -> Curve:
    rows, split = np.asarray(HEAD_ROWS, dtype=np.float64), Split.of(model, degree)
    memory, compute = ceilings(device, WeightsDtype.BFLOAT16, rows, split.vocab, float(split.hidden))
    share = at_intensity(shares.dense["bfloat16"], memory, compute)
    rate = device.bandwidth_bytes_per_s
    small = KERNEL_S + rows * 8.0 * split.hidden / (BANDWIDTH_SHARE * rate) + SAMPLER_S
    small = small + rows * model.vocab_size * SAMPLER_BYTES_PER_LOGIT / rate
    seconds = rising(np.maximum(memory, compute) / share + small)
    return Curve(**_said(shares.spread["dense bfloat16"], "products"), x=floats(rows), y_s=floats(seconds))


def _prefill(device: Device, like: ModelTerms, shares: Shares) -> PrefillAttention:
    axes = like.attn_prefill
    new, context = np.meshgrid(axes.new_tokens, axes.context_tokens, indexing="ij")
    one = pair_ceiling_s(device, like.model, like.tensor_parallel, new, context) / shares.prefill
    grid = np.maximum.accumulate(np.maximum.accumulate(like.model.layers * one, axis=0), axis=1)
    return PrefillAttention(
        **_said(shares.spread["prefill"], "prompt attention"),
        new_tokens=axes.new_tokens,
        context_tokens=axes.context_tokens,
        seconds=tuple(floats(row) for row in grid),
    )


def _decode(device: Device, like: ModelTerms, shares: Shares) -> DecodeAttention:
    split = Split.of(like.model, like.tensor_parallel)
    one = like.model.layers * 4.0 * split.key / device.bandwidth_bytes_per_s
    return DecodeAttention(
        **_said(shares.spread["decode"], "decode attention"),
        sequences=like.attn_decode.sequences,
        fixed_s=floats(like.model.layers * np.maximum.accumulate(shares.decode_fixed_s)),
        per_context_token_s=floats(one / shares.decode),
    )


def _reduce(device: Device, model: ModelShape, degree: int, shares: Shares) -> Curve:
    small_s, share = shares.links[device.peer_link_bytes_per_s is not None]
    tokens = np.asarray(TOKENS, dtype=np.float64)
    large = np.asarray([reduce_ceiling_s(device, model, degree, count) / share for count in TOKENS])
    seconds = 2.0 * model.layers * (small_s + large)
    spread = _OWN_LINK if device.peer_link_bytes_per_s is not None else _HOST_LINK
    return Curve(**_said(spread, "all-reduce by its link"), x=floats(tokens), y_s=floats(seconds))


def _lora(device: Device, like: ModelTerms, measured: Sequence[Profile]) -> LoraTerm | None:
    """Medians of the measured GPUs' estimates: launches and tiles, which hardly depend on the GPU."""
    there = _predicted(measured, like.model, like.tensor_parallel)
    found = [terms.lora for terms in there if terms.lora is not None]
    if not found:
        return None
    numbers: dict[str, Any] = {
        name: _digits(float(np.median([getattr(term, name) for term in found])))
        for name in LoraTerm.model_fields
        if name.endswith("_s")
    }
    numbers["per_weight_byte_s"] = _digits(1.0 / (BANDWIDTH_SHARE * device.bandwidth_bytes_per_s))
    return LoraTerm(**_said((0.25, 1.6), "medians of other GPUs' estimates of LoRA") | numbers)


def _grid(device: Device, dtype: WeightsDtype, shares: Shares) -> GemmGrid:
    m = np.asarray(_GRID_M, dtype=np.float64)
    planes = np.empty((len(_GRID_M), len(_GRID_NK), len(_GRID_NK)))
    for row, n in enumerate(_GRID_NK):
        for column, k in enumerate(_GRID_NK):
            memory, compute = ceilings(device, dtype, m, n, k)
            share = at_intensity(shares.dense[dtype.value], memory, compute)
            planes[:, row, column] = np.maximum(memory, compute) / share
    return GemmGrid(
        **_said(shares.spread[f"dense {dtype.value}"], "products"),
        m=floats(m),
        n=floats(np.asarray(_GRID_NK, dtype=np.float64)),
        k=floats(np.asarray(_GRID_NK, dtype=np.float64)),
        seconds=tuple(tuple(floats(row) for row in plane) for plane in planes),
        weights_dtype=dtype.value,
    )


def _said(spread: tuple[float, float], what: str) -> dict[str, Any]:
    low, high = min(spread[0] / _WIDER, 1.0), max(spread[1] * _WIDER, 1.0)
    return {
        "origin": Origin.DATASHEET,
        "source": f"datasheet of the catalog; {what}: share of the ceiling, median of measured GPUs",
        "licence": "Apache-2.0",
        "interval": (float(f"{low:.2g}"), float(f"{high:.3g}")),
    }


def _marked(term: _Term, width: float) -> _Term:
    low, high = term.interval
    update = {
        "origin": Origin.DATASHEET,
        "interval": (float(f"{low / width:.2g}"), float(f"{high * width:.2g}")),
    }
    return term.model_copy(update=update)


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
