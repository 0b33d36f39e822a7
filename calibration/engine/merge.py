"""Merging an adapter into the weights, and taking it out again by reading the base anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from calibration.engine.config import Architecture
from calibration.engine.matrix import like, plain
from calibration.engine.peft import Delta
from calibration.engine.weights import PACKED, Weights, read_module, rows_of


def merge(weights: Weights, architecture: Architecture, deltas: Mapping[tuple[int, str], Delta]) -> None:
    """W <- W + scale · B·A, summed in float32 on the weights' device and rounded once."""
    with torch.inference_mode():
        for layer, module, rows in _rows(weights, architecture, deltas):
            delta = deltas[layer, module]
            a, b = (half.to(rows.device, torch.float32) for half in (delta.a, delta.b))
            rows.copy_(rows.float() + delta.scale * (b @ a))


def unmerge(
    weights: Weights, architecture: Architecture, modules: Iterable[tuple[int, str]], model_dir: str | Path
) -> None:
    """Read the named (layer, module) again. Subtracting would leave the roundings of the merge behind."""
    with torch.inference_mode():
        for layer, module, rows in _rows(weights, architecture, modules):
            rows.copy_(read_module(model_dir, layer, module))


def _rows(
    weights: Weights, architecture: Architecture, modules: Iterable[tuple[int, str]]
) -> Iterator[tuple[int, str, Tensor]]:
    """(layer, module, rows to change) matrix by matrix.

    A plain matrix changes in place, where captured graphs look for it; a blocked one is laid out anew
    behind its last module.
    """
    place = {
        module: (packed, first, last)
        for packed in PACKED
        for module, first, last in rows_of(architecture, packed)
    }
    of_matrix: dict[tuple[int, str], list[str]] = {}
    for layer, module in modules:
        of_matrix.setdefault((layer, place[module][0]), []).append(module)
    for (layer, packed), mine in of_matrix.items():
        matrices = weights.layers[layer].matrices
        before = matrices[packed]
        matrix = plain(before)
        for module in mine:
            _, first, last = place[module]
            yield layer, module, matrix[first:last]
        matrices[packed] = like(matrix, before)
