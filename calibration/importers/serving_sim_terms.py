"""Device terms of a model from LLMServingSim's tables of its own kernels, inside vLLM.

    dense(T)  = layers · (qkv + o + gate_up + down + activation + rotary + norms)(T) + embedding
    head(R)   = final norm + LM head + sampler, R rows
    attention = prompt chunks and decodes as measured alone; decodes beside prompts are what they add to the
                chunk in the kernel that takes both

No product, no kernel is estimated. All-reduces are not in the tables: degrees above 1 are not imported.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.profile import Curve, DecodeAttention, MixedAttention, ModelTerms, PrefillAttention
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from calibration.importers.dense import knots, rising
from calibration.importers.model_terms import floats
from calibration.importers.serving_sim_files import LICENCE, Attention, LayerTables

Array = NDArray[np.float64]

_CURVE_ERROR: Final = 0.003
_ONCE_A_LAYER: Final = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "act_fn", "rotary_emb")
_OPTIONAL: Final = ("qk_norm",)
_LONGEST_MEAN: Final = 8192
"""Contexts of decoding sequences beyond this weigh in no fit: they are rare, and the line bends."""
_SHORTEST_MEAN: Final = 64
_MIXED_CONTEXT: Final = 2048
"""Context of the prompt beside which decodes were measured, at most."""


def terms_of(tables: LayerTables, model: ModelShape, device: Device) -> ModelTerms:
    """Every device term that the tables hold.

    Lines over the context are fitted to contexts that fit beside the weights into the device's memory.

    Raises:
        InputError: a layer or a grid point is missing, or the degree is above 1.
    """
    if tables.tensor_parallel != 1:
        raise InputError(
            f"{tables.gpu}: tensor_parallel is {tables.tensor_parallel}; allowed: 1. The tables have no "
            "all-reduces."
        )
    room = (device.memory_bytes - model.weights_bytes) / model.kv_bytes_per_token
    if room <= 0:
        raise InputError(f"{device.name}: does not hold {model.name}; allowed: a model that fits its memory.")
    return ModelTerms(
        model=model,
        tensor_parallel=1,
        dense=_dense(tables, model.layers),
        head=_head(tables),
        attn_prefill=_prefill(tables, model.layers),
        attn_decode=_decode(tables, model.layers, room),
        attn_mixed=_mixed(tables, model.layers, room),
    )


def _dense(tables: LayerTables, layers: int) -> Curve:
    tokens = _layer(tables.dense, "qkv_proj")[0]

    def seconds(name: str) -> Array:
        x, y = _layer(tables.dense, name)
        if not np.array_equal(x, tokens):
            raise InputError(f"dense: {name} was measured at other tokens than qkv_proj; allowed: the same.")
        return y

    names = [*_ONCE_A_LAYER, *(name for name in _OPTIONAL if name in tables.dense)]
    layer = 2.0 * seconds("layernorm") + np.sum([seconds(name) for name in names], axis=0)
    whole = rising(np.asarray(layers * layer + seconds("embedding")))
    return _curve(tokens, whole, f"{tables.source}, dense")


def _curve(x: Array, seconds: Array, source: str) -> Curve:
    keep = knots(x, seconds, error=_CURVE_ERROR)
    return Curve(
        origin=Origin.MEASURED,
        source=source,
        licence=LICENCE,
        interval=(0.95, 1.05),
        x=floats(x[keep]),
        y_s=floats(seconds[keep]),
    )


def _head(tables: LayerTables) -> Curve:
    rows, product = _layer(tables.per_sequence, "lm_head")
    x, sampler = _layer(tables.per_sequence, "sampler")
    tokens, norm = _layer(tables.dense, "final_layernorm")
    whole = rising(product + np.interp(rows, x, sampler) + np.interp(rows, tokens, norm))
    return _curve(rows, whole, f"{tables.source}, per_sequence")


def _prefill(tables: LayerTables, layers: int) -> PrefillAttention:
    alone = {(q, c): s for (q, c, n, _), s in tables.attention.items() if n == 0 and q > 0}
    new, context = _whole_grid(alone)
    grid = np.asarray([[alone[q, c] for c in context] for q in new])
    return PrefillAttention(
        origin=Origin.MEASURED,
        source=f"{tables.source}, attention of one prompt",
        licence=LICENCE,
        interval=(0.9, 1.1),
        new_tokens=tuple(map(float, new)),
        context_tokens=tuple(map(float, context)),
        seconds=tuple(floats(layers * row) for row in grid),
    )


def _decode(tables: LayerTables, layers: int, room: float) -> DecodeAttention:
    alone = {(n, each): s for (q, _, n, each), s in tables.attention.items() if q == 0 and n > 0}
    sequences = sorted({n for n, _ in alone})
    lines, off = [], []
    for count in sequences:
        points = [(float(count * each), s) for (n, each), s in sorted(alone.items()) if n == count]
        line, errors = _line(points, count, room)
        lines.append(line)
        off += errors
    error = min(max(0.05, round(float(np.quantile(np.abs(off), 0.9)), 2)), 0.5)
    return DecodeAttention(
        origin=Origin.FITTED,
        source=f"{tables.source}, attention of decodes alone, affine in context",
        licence=LICENCE,
        interval=(1.0 - error, 1.0 + error),
        sequences=tuple(map(float, sequences)),
        fixed_s=floats(layers * np.asarray([fixed for fixed, _ in lines])),
        per_context_token_s=floats(layers * np.asarray([slope for _, slope in lines])),
    )


def _mixed(tables: LayerTables, layers: int, room: float) -> MixedAttention | None:
    """What decodes add to a chunk: seconds of both in one kernel, less those of the chunk alone."""
    both = {key: s for key, s in tables.attention.items() if key[0] > 0 and key[2] > 0}
    if not both:
        return None
    prompts = _whole_grid({(q, c): s for (q, c, n, _), s in tables.attention.items() if n == 0 and q > 0})[0]
    sequences = sorted({key[2] for key in both})
    lines = {}
    for prompt in prompts:
        for count in sequences:
            points = _added(tables.attention, both, prompt, count)
            if len(points) >= 3:
                lines[prompt, count] = _line(points, count, room)[0]
    prompts = [p for p in prompts if all((p, n) in lines for n in sequences)]
    if not prompts:
        return None
    return MixedAttention(
        origin=Origin.FITTED,
        source=f"{tables.source}, attention of a prompt and decodes, less the prompt alone",
        licence=LICENCE,
        interval=(0.85, 1.15),
        prompt_tokens=tuple(map(float, prompts)),
        sequences=tuple(map(float, sequences)),
        fixed_s=tuple(floats(layers * np.asarray([lines[p, n][0] for n in sequences])) for p in prompts),
        per_context_token_s=tuple(
            floats(layers * np.asarray([lines[p, n][1] for n in sequences])) for p in prompts
        ),
    )


def _added(known: Attention, both: Attention, prompt: int, count: int) -> list[tuple[float, float]]:
    """(total context, seconds added) beside chunks of `prompt` tokens."""
    points = []
    for (q, before, n, each), seconds in sorted(both.items()):
        if q == prompt and n == count and before <= _MIXED_CONTEXT:
            alone = known.get((q, before, 0, 0))
            if alone is not None:
                points.append((float(count * each), max(seconds - alone, 0.0)))
    return points


def _line(
    points: list[tuple[float, float]], count: int, room: float
) -> tuple[tuple[float, float], list[float]]:
    """Non-negative line through (total context, seconds) with relative errors, and those errors.

    Only contexts that occur: means of _SHORTEST_MEAN to _LONGEST_MEAN tokens a sequence, `room` in all.
    """
    from scipy.optimize import nnls

    longest = max(min(_LONGEST_MEAN, room / count), 4 * _SHORTEST_MEAN)
    near = [p for p in points if _SHORTEST_MEAN <= p[0] / count <= longest and p[1] > 0] or points
    context, seconds = np.asarray([p[0] for p in near]), np.asarray([p[1] for p in near])
    floor = max(float(np.max(seconds)) * 1e-3, 1e-9)
    weight = 1.0 / np.maximum(seconds, floor)
    size = float(context.max())
    design = np.column_stack([weight, weight * context / size])
    fixed, slope = nnls(design, seconds * weight)[0]
    slope = float(slope / size)
    return (float(fixed), slope), ((fixed + slope * context) * weight - 1.0).tolist()


def _layer(found: dict[str, tuple[Array, Array]], name: str) -> tuple[Array, Array]:
    if name not in found:
        raise InputError(
            f"the tables have no layer {name}; have: {', '.join(sorted(found))}. Allowed: a dense model's."
        )
    return found[name]


def _whole_grid(points: dict[tuple[int, int], float]) -> tuple[list[int], list[int]]:
    """Rows and columns of the largest whole grid; tables may hold two interleaved ones."""
    columns: dict[tuple[int, ...], list[int]] = {}
    for row in sorted({q for q, _ in points}):
        columns.setdefault(tuple(sorted(c for q, c in points if q == row)), []).append(row)
    context, rows = max(columns.items(), key=lambda item: len(item[0]) * len(item[1]))
    if len(rows) < 2 or len(context) < 2:
        raise InputError("attention: has no grid of prompts alone; allowed: chunks by contexts, decodes 0.")
    return rows, list(context)
