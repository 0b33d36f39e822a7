"""The device terms of one model at one tensor-parallel degree, from one GPU's operator tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.profile import Curve, DecodeAttention, GemmGrid, ModelTerms, PrefillAttention
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin, WeightsDtype
from calibration.importers.all_reduce import AllReduceTable
from calibration.importers.attention import (
    CONTEXT_TOKENS,
    NEW_TOKENS,
    DecodeTable,
    Heads,
    PrefillTable,
)
from calibration.importers.dense import Split, dense_gemms_s, elementwise_s, head_s, knots, rising
from calibration.importers.gemms import GemmTable, gemm_table
from calibration.importers.tables import LICENCE, Tables

Array = NDArray[np.float64]

LARGEST_STEP = 16384
"""Tokens of the largest step an engine runs by default (facts.md 1.1)."""
HEAD_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CURVE_ERROR = 0.01
"""Points of a curve are dropped as long as straight lines stay this close to all of them."""

_SECOND_SOURCE = 0.08
"""No interval is narrower: products and kernels that two sources measured on one GPU differ by this much
(LLMServingSim, RTX PRO 6000: within 5 % for products, 6 % for decode; Vidur, H100 and A100: 10 %)."""
_ELEMENTWISE_DOUBT = 0.4
"""Share of the element-wise estimate that may be wrong (BANDWIDTH_SHARE 0.58 to 1.04 around 0.75)."""
FARTHEST = 2.0
"""Shapes farther outside of what was measured are refused; nearer ones are marked extrapolated."""
_BEYOND_DOUBT = 0.25
"""What each time beyond adds to a term's interval; a judgement: time grows with the size at most."""
_GRID_M = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_GRID_NK = (512, 1024, 1536, 2048, 3072, 4096, 5120, 8192, 10240, 16384, 51200, 65536)


@dataclass(frozen=True)
class Operators:
    """The operator tables of one GPU and engine, each read once when first asked for."""

    tables: Tables
    device: Device
    largest_graph: int
    kv_dtype: str = "bfloat16"

    @cached_property
    def _gemm(self) -> dict[str, GemmTable | None]:
        return {dtype.value: gemm_table(self.tables, dtype.value) for dtype in WeightsDtype}

    @cached_property
    def _prefill(self) -> PrefillTable:
        return PrefillTable(self.tables, self.kv_dtype)

    @cached_property
    def _decode(self) -> DecodeTable:
        return DecodeTable(self.tables, self.kv_dtype)

    @cached_property
    def _all_reduce(self) -> AllReduceTable:
        return AllReduceTable(self.tables, largest_graph=self.largest_graph)

    def gemm(self, dtype: WeightsDtype) -> GemmTable | None:
        """The product table of a weight type; None where the engine has none on this GPU."""
        return self._gemm[dtype.value]

    def terms(self, model: ModelShape, tensor_parallel: int) -> ModelTerms:
        """Every device term but LoRA and drafts.

        Raises:
            InputError: the tables have no attention or all-reduce of this shape.
        """
        return ModelTerms(
            model=model,
            tensor_parallel=tensor_parallel,
            dense=self._dense(model, tensor_parallel),
            head=self._head(model, tensor_parallel),
            attn_prefill=self._attn_prefill(model, tensor_parallel),
            attn_decode=self._attn_decode(model, tensor_parallel),
            all_reduce=None if tensor_parallel == 1 else self._reduce(model, tensor_parallel),
        )

    def grid(self, dtype: WeightsDtype) -> GemmGrid | None:
        """A small product grid, for models without a row."""
        table = self.gemm(dtype)
        if table is None:
            return None
        small = table.reduced(_GRID_M, _GRID_NK, _GRID_NK)
        return GemmGrid(
            origin=Origin.MEASURED,
            source=f"{self.tables.source}, gemm",
            licence=LICENCE,
            interval=_around(_SECOND_SOURCE),
            m=floats(small.m),
            n=floats(small.n),
            k=floats(small.k),
            seconds=tuple(tuple(floats(row) for row in plane) for plane in small.seconds),
            weights_dtype=dtype.value,
        )

    def _dense(self, model: ModelShape, tensor_parallel: int) -> Curve:
        table = self.gemm(model.weights_dtype)
        assert table is not None, "asked before: importable_models leaves out types without a table"
        beyond = self._beyond(table, model, tensor_parallel)
        tokens = table.m[table.m <= LARGEST_STEP]
        products = dense_gemms_s(table, model, tensor_parallel, tokens)
        small = elementwise_s(model, tensor_parallel, tokens, self.device.bandwidth_bytes_per_s)
        seconds = rising(products + small)
        keep = knots(tokens, seconds, error=CURVE_ERROR)
        coarse = dense_gemms_s(_thinned(table), model, tensor_parallel, tokens)
        interpolation = float(np.quantile(np.abs(coarse / products - 1.0), 0.9))
        share = float(np.median(small / seconds))
        source = f"{self.tables.source}, gemm; element-wise part ({share:.0%}) estimated from bytes moved"
        if beyond > 1.0:
            source += f"; shapes {beyond:.2f} times beyond the measured ones, in proportion to their size"
        doubt = interpolation + _ELEMENTWISE_DOUBT * share + _BEYOND_DOUBT * (beyond - 1.0)
        return Curve(
            origin=Origin.MEASURED if beyond == 1.0 else Origin.EXTRAPOLATED,
            source=source,
            licence=LICENCE,
            interval=_around(max(_SECOND_SOURCE, doubt)),
            x=floats(tokens[keep]),
            y_s=floats(seconds[keep]),
        )

    def _beyond(self, table: GemmTable, model: ModelShape, tensor_parallel: int) -> float:
        """How far the model's products lie outside the table (InputError past `FARTHEST`)."""
        products = Split.of(model, tensor_parallel).products
        far, n, k = max((table.distance(n, k), n, k) for n, k in products)
        if far > FARTHEST:
            raise InputError(
                f"{self.tables.source}: {model.name} at degree {tensor_parallel} has a product of n = "
                f"{n:.0f} and k = {k:.0f}; allowed: at most {FARTHEST:g} times beyond the measured "
                f"{table.n[0]:.0f} to {table.n[-1]:.0f} and {table.k[0]:.0f} to {table.k[-1]:.0f}. "
                "Take another degree."
            )
        return far

    def _head(self, model: ModelShape, tensor_parallel: int) -> Curve:
        table = self.gemm(WeightsDtype.BFLOAT16)
        assert table is not None, "every engine has a bfloat16 table"
        rows = np.asarray(HEAD_ROWS, dtype=np.float64)
        seconds = rising(head_s(table, model, tensor_parallel, rows, self.device.bandwidth_bytes_per_s))
        return Curve(
            origin=Origin.ESTIMATED,
            source=f"{self.tables.source}, gemm in proportion to the vocabulary; sampler estimated",
            licence=LICENCE,
            interval=(0.85, 1.3),
            x=floats(rows),
            y_s=floats(seconds),
        )

    def _attn_prefill(self, model: ModelShape, tensor_parallel: int) -> PrefillAttention:
        grid = model.layers * self._prefill.grid(Heads.of(model, tensor_parallel))
        return PrefillAttention(
            origin=Origin.ESTIMATED,
            source=f"{self.tables.source}, context attention; context before a chunk estimated",
            licence=LICENCE,
            interval=(0.84, 1.2),
            new_tokens=tuple(map(float, NEW_TOKENS)),
            context_tokens=tuple(map(float, CONTEXT_TOKENS)),
            seconds=tuple(floats(row) for row in grid),
        )

    def _attn_decode(self, model: ModelShape, tensor_parallel: int) -> DecodeAttention:
        fit = self._decode.fit(Heads.of(model, tensor_parallel))
        off = float(np.quantile(np.abs(fit.relative_residuals), 0.9))
        return DecodeAttention(
            origin=Origin.FITTED,
            source=f"{self.tables.source}, generation attention, affine in context",
            licence=LICENCE,
            interval=_around(max(_SECOND_SOURCE, off)),
            sequences=tuple(map(float, fit.sequences)),
            fixed_s=floats(model.layers * np.asarray(fit.fixed_s)),
            per_context_token_s=floats(model.layers * np.asarray(fit.per_context_token_s)),
        )

    def _reduce(self, model: ModelShape, tensor_parallel: int) -> Curve:
        edge = {float(self.largest_graph), self.largest_graph + 1.0} if self.largest_graph else set()
        tokens = np.asarray(sorted({2.0**power for power in range(15)} | edge))
        seconds = rising(self._all_reduce.seconds(model, tensor_parallel, tokens))
        return Curve(
            origin=Origin.MEASURED,
            source=f"{self.tables.source}, {self._all_reduce.path}",
            licence=LICENCE,
            interval=(0.85, 1.25),
            x=floats(tokens),
            y_s=floats(seconds),
        )


def _thinned(table: GemmTable) -> GemmTable:
    """Every other n and k (the ends stay): how much a sum moves says how well the full grid interpolates."""
    return table.reduced(tuple(table.m), _every_other(table.n), _every_other(table.k))


def _every_other(axis: Array) -> tuple[float, ...]:
    return tuple(sorted({*axis[::2].tolist(), float(axis[-1])}))


def _around(error: float) -> tuple[float, float]:
    """A multiplicative interval of ± error, two digits."""
    error = min(float(f"{error:.2g}"), 0.9)
    return (round(1.0 - error, 3), round(1.0 + error, 3))


def floats(values: Array) -> tuple[float, ...]:
    """Five significant digits: less than any of these figures is good for."""
    return tuple(float(f"{value:.5g}") for value in values)
