"""A weight matrix in the layout in which the device at hand multiplies by it fastest.

On an x86 CPU that is oneDNN's blocked one: up to 64 rows by a large plain matrix take 1.2 to 3 times as long
as by a blocked one (docs/performance.md). A matrix is blocked once, when it is loaded or merged, and loses no
bit by it. Small ones stay plain, and all do on other devices and in steps of fixed shape (graphs.py).
"""

from __future__ import annotations

import platform
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

_ROWS: Final = 16
"""Rows of inputs that the layout is chosen for; it serves any other number about as well."""

LEAST_ELEMENTS: Final = {torch.float32: 2**19, torch.bfloat16: 2**14, torch.float16: 2**14}
"""A blocked product costs some 15 µs before it computes anything; in float32 a plain one does not."""


def blocked(weight: Tensor) -> Tensor:
    """The same matrix, weight (d_out, d_in), for `linear` alone; unchanged where plain is what pays."""
    if not _can_block(weight):
        return weight
    mkldnn: Any = torch.ops.mkldnn
    with torch.inference_mode():
        found: Tensor = mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
    return found


def plain(weight: Tensor) -> Tensor:
    """The same matrix for everything else; a copy if it was blocked."""
    return weight.to_dense() if weight.is_mkldnn else weight


def like(weight: Tensor, layout: Tensor) -> Tensor:
    """A plain matrix in the layout of another."""
    return blocked(weight) if layout.is_mkldnn else weight


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Product of x (rows, d_in) and weight (d_out, d_in), plain or blocked -> (rows, d_out)."""
    if not weight.is_mkldnn:
        return F.linear(x, weight, bias)
    mkldnn: Any = torch.ops.mkldnn
    found: Tensor = mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def _can_block(weight: Tensor) -> bool:
    """Whether this build of torch and this processor have blocked products of the weight's type."""
    if weight.numel() < LEAST_ELEMENTS.get(weight.dtype, 2**63):
        return False
    if weight.device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    backend: Any = torch.backends.mkldnn
    mkldnn: Any = torch.ops.mkldnn
    if not backend.is_available():
        return False
    if not (hasattr(mkldnn, "_reorder_linear_weight") and hasattr(mkldnn, "_linear_pointwise")):
        return False
    if weight.dtype is torch.bfloat16:
        return bool(mkldnn._is_mkldnn_bf16_supported())
    if weight.dtype is torch.float16:
        return bool(mkldnn._is_mkldnn_fp16_supported())
    return weight.dtype is torch.float32
