"""Merging an adapter into the weights, and taking it out again by reading the base anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from calibration.engine.config import Architecture
from calibration.engine.peft import Delta
from calibration.engine.weights import PACKED, Weights, read_module, rows_of


def merge(weights: Weights, architecture: Architecture, deltas: Mapping[tuple[int, str], Delta]) -> None:
    """W <- W + scale · B·A in place, summed in float32 on the weights' device and rounded once."""
    place = _places(architecture)
    with torch.inference_mode():
        for (layer, module), delta in deltas.items():
            packed, first, last = place[module]
            rows = weights.layers[layer].matrices[packed][first:last]
            a, b = (half.to(rows.device, torch.float32) for half in (delta.a, delta.b))
            rows.copy_(rows.float() + delta.scale * (b @ a))


def unmerge(
    weights: Weights, architecture: Architecture, modules: Iterable[tuple[int, str]], model_dir: str | Path
) -> None:
    """Read the named (layer, module) again. Subtracting would leave the roundings of the merge behind."""
    place = _places(architecture)
    with torch.inference_mode():
        for layer, module in modules:
            packed, first, last = place[module]
            rows = weights.layers[layer].matrices[packed][first:last]
            rows.copy_(read_module(model_dir, layer, module))


def _places(architecture: Architecture) -> dict[str, tuple[str, int, int]]:
    """Rows of each module within its packed matrix."""
    return {
        module: (packed, first, last)
        for packed in PACKED
        for module, first, last in rows_of(architecture, packed)
    }
