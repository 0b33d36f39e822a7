"""How much of an adapter survives merging, module by module, before anyone merges.

The delta Δ = scale·B·A is added to W in float32 and the sum is stored in another type. What is left of it
is Δ' = stored(W + Δ) - stored(W); its share along Δ is <Δ', Δ> / <Δ, Δ>, its error |Δ' - Δ| / |Δ|. Storing
in bf16 keeps 8 bits: a change below half a step of W is lost, or doubled, by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from advisor.errors import InputError
from advisor.spec.mergecheck import STORED, MergeCheck, ModuleCheck, Parity, Stored, TypeCheck
from calibration.engine.config import read_architecture
from calibration.engine.peft import describe_adapter, read_adapter
from calibration.engine.weights import read_module

_INT4_GROUP: Final = 128


def merge_check(
    model_dir: Path,
    adapter_dir: Path,
    stored: Sequence[Stored] = ("bfloat16", "fp8", "int4"),
    *,
    prompts: Sequence[Sequence[int]] = (),
) -> MergeCheck:
    """Check an adapter against its base; one module at a time is in memory in float32.

    Args:
        model_dir: the base in Hugging Face layout.
        adapter_dir: a PEFT folder for it.
        stored: types in which the merged weights might be kept.
        prompts: token ids for the parity of answers; none: it is left out.

    Raises:
        InputError: an unknown type, or files that the engine refuses.
    """
    unknown = [kind for kind in stored if kind not in STORED]
    if unknown or not stored:
        raise InputError(f"dtype is {', '.join(unknown) or 'empty'}; allowed: {', '.join(STORED)}.")
    architecture = read_architecture(model_dir)
    described = describe_adapter(adapter_dir, architecture.shape)
    deltas = read_adapter(described, architecture.shape)
    rows: list[list[tuple[ModuleCheck, float]]] = [[] for _ in stored]
    for (layer, module), delta in sorted(deltas.items()):
        weight = read_module(model_dir, layer, module).float()
        change = delta.scale * (delta.b.float() @ delta.a.float())
        for place, kind in enumerate(stored):
            rows[place].append(_module(layer, module, weight, change, ROUND[kind]))
    parities = [_parity(model_dir, adapter_dir, kind, prompts) if prompts else None for kind in stored]
    return MergeCheck(
        model=str(model_dir),
        adapter=str(adapter_dir),
        rank=described.rank,
        types=tuple(_type(kind, found, p) for kind, found, p in zip(stored, rows, parities, strict=True)),
        modules=tuple(tuple(check for check, _ in found) for found in rows),
    )


def _module(
    layer: int, module: str, weight: Tensor, change: Tensor, rounded: Callable[[Tensor], Tensor]
) -> tuple[ModuleCheck, float]:
    """The check, and the squared norm of the delta, its weight among the others."""
    base = rounded(weight)
    left = rounded(weight + change) - base
    norm = float(change.norm())
    square = max(norm * norm, 1e-30)
    check = ModuleCheck(
        layer=layer,
        module=module,
        delta_over_weight=norm / max(float(weight.norm()), 1e-30),
        kept=float((left * change).sum()) / square,
        error=float((left - change).norm()) / square**0.5,
        unchanged=float((left == 0).float().mean()),
    )
    return check, norm * norm


def _type(stored: Stored, rows: list[tuple[ModuleCheck, float]], parity: Parity | None) -> TypeCheck:
    weight = np.array([square for _, square in rows])
    weight = weight / max(float(weight.sum()), 1e-30)
    checks = [check for check, _ in rows]
    return TypeCheck(
        stored=stored,
        kept=float(sum(w * c.kept for w, c in zip(weight, checks, strict=True))),
        error=float(np.sqrt(sum(w * c.error**2 for w, c in zip(weight, checks, strict=True)))),
        unchanged=float(np.mean([c.unchanged for c in checks])),
        worst=max(checks, key=lambda c: c.error),
        parity=parity,
    )


# ------------------------------------------------------------------------------------- storing in a type


def _through(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return lambda weight: weight.to(dtype).float()


def _fp8(weight: Tensor) -> Tensor:
    """e4m3 with a scale a row: the largest value of a row is the type's largest."""
    largest = torch.finfo(torch.float8_e4m3fn).max
    scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / largest
    return (weight / scale).to(torch.float8_e4m3fn).float() * scale


def _int4(weight: Tensor) -> Tensor:
    """Symmetric, a scale for 128 values of a row (fewer at its end), rounded to nearest."""
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -columns % _INT4_GROUP))
    groups = padded.reshape(rows, -1, _INT4_GROUP)
    scale = groups.abs().amax(dim=2, keepdim=True).clamp_min(1e-12) / 7.0
    found = (groups / scale).round().clamp(-8, 7) * scale
    return found.reshape(rows, -1)[:, :columns]


ROUND: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "float32": lambda weight: weight,
    "bfloat16": _through(torch.bfloat16),
    "float16": _through(torch.float16),
    "fp8": _fp8,
    "int4": _int4,
}


# ------------------------------------------------------------------------------------- what answers say


def _parity(model_dir: Path, adapter_dir: Path, stored: Stored, prompts: Sequence[Sequence[int]]) -> Parity:
    """Run base, unmerged and merged in float32 arithmetic; only the weights are rounded."""
    unmerged = _logs(model_dir, prompts, adapter_dir, ROUND[stored], merged=False)
    merged = _logs(model_dir, prompts, adapter_dir, ROUND[stored], merged=True)
    base = _logs(model_dir, prompts, None, ROUND[stored], merged=False)
    kl, base_kl, same = [], [], []
    for wanted, found, plain in zip(unmerged, merged, base, strict=True):
        kl.append(float((wanted.exp() * (wanted - found)).sum(-1).mean()))
        base_kl.append(float((wanted.exp() * (wanted - plain)).sum(-1).mean()))
        same.append(float((wanted.argmax(-1) == found.argmax(-1)).float().mean()))
    return Parity(
        prompts=len(prompts),
        mean_kl_nats=max(float(np.mean(kl)), 0.0),
        base_kl_nats=max(float(np.mean(base_kl)), 0.0),
        same_likeliest=float(np.mean(same)),
    )


def _logs(
    model_dir: Path,
    prompts: Sequence[Sequence[int]],
    adapter_dir: Path | None,
    rounded: Callable[[Tensor], Tensor],
    *,
    merged: bool,
) -> list[Tensor]:
    """Log-probabilities of every place of every prompt: (tokens, vocab) each."""
    from calibration.engine.batch import Row
    from calibration.engine.lora import pack
    from calibration.engine.matrix import like, plain
    from calibration.engine.merge import merge
    from calibration.engine.runner import Runner

    runner = Runner("cpu", 16)
    longest = max(map(len, prompts))
    blocks = -(-longest // 16)
    model = runner.load_model(model_dir, "float32", blocks)
    architecture, weights = model.architecture, model.weights
    deltas: Any = {}
    rank = 0
    if adapter_dir is not None:
        described = describe_adapter(adapter_dir, architecture.shape)
        deltas, rank = read_adapter(described, architecture.shape), described.rank
    slots = runner.lora_slots(model, 1, rank) if deltas and not merged else None
    if slots is not None:
        slots.write(0, pack(deltas, architecture, rank, torch.float32))
    if deltas and merged:
        merge(weights, architecture, deltas)
    for layer in weights.layers:
        for name, matrix in layer.matrices.items():
            layer.matrices[name] = like(rounded(plain(matrix)), matrix)
    cache = runner.kv_cache(model, blocks)
    found = []
    for prompt in prompts:
        slot = -1 if slots is None else 0
        row = Row(list(prompt), 0, list(range(blocks)), slot, len(prompt))
        found.append(runner.forward(model, [row], cache, slots).log_softmax(-1))
    return found
