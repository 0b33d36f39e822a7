"""Prompt and decode attention of a model from measured kernels.

Prompt: the tables hold whole prompts in equal batches, no context before them. A chunk costs what one
more sequence of it adds to a batch (the launch is paid once a step and is part of the decode term or
of the products). Context before the chunk is estimated:

    t(q, c) = t(q, 0) + c · slope(q)        slope(q) = max(q, q_wave) · s_pair, or in waves of tiles

with s_pair the seconds of one query-key pair at the longest measured prompt.
Decode: for each number of sequences S, affine in the total context C: the start from contexts of a few
tokens, the slope by least squares, so that the largest contexts count most.
Points whose keys and values fit into the device's last cache are left out: the benchmark reads them
again and again, an engine streams its weights through the cache in between. (On an RTX PRO 6000 such
points reach 2.7 TB/s where memory gives 1.5.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.spec.model import ModelShape
from calibration.importers.engines import facts_of
from calibration.importers.tables import Rows, Tables

Array = NDArray[np.float64]

NEW_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CONTEXT_TOKENS = (0, 512, 2048, 8192, 32768, 131072)
SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_BATCH_TOKENS = 4096
"""Prompt tokens of the batches whose marginal cost is taken: what an engine puts into one step."""

_SHORT_CONTEXT = 16
"""Contexts up to this are the start of the decode line: launches and queries, hardly any keys."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of one device."""

    query: int
    key: int
    size: int

    @classmethod
    def of(cls, model: ModelShape, tensor_parallel: int) -> Heads:
        """Divide the heads over the devices."""
        return cls(
            max(1, model.heads // tensor_parallel), max(1, model.kv_heads // tensor_parallel), model.head_dim
        )


@dataclass(frozen=True, slots=True)
class DecodeFit:
    """fixed_s(S) + per_context_token_s(S) · C, one layer."""

    sequences: tuple[int, ...]
    fixed_s: tuple[float, ...]
    per_context_token_s: tuple[float, ...]
    relative_residuals: tuple[float, ...]


class PrefillTable:
    """Measured prompt attention of one GPU and engine."""

    def __init__(self, tables: Tables, kv_dtype: str = "bfloat16") -> None:
        """Read the table's kernels for one type of keys and values."""
        self._rows = _plain(
            tables.rows(
                "attention_prefill",
                ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency"),
                optional=("window_size", "attn_dtype", "kv_cache_dtype", "step", "kernel_source"),
            ).where(step=0),
            tables,
            kv_dtype,
        )
        source = self._rows.columns.get("kernel_source", np.asarray([""]))
        new = ("fa3", "fa4", "trtllm_mha", "trtllmprefill")
        self._old_kernel = not any(name.endswith(new) for name in np.unique(source.astype(str)))
        self._processors = _PROCESSORS.get(tables.system)

    def grid(self, heads: Heads) -> Array:
        """Seconds of one layer, one row a NEW_TOKENS value, one column a CONTEXT_TOKENS value."""
        table = _by_heads(self._rows, heads, ("batch_size", "isl"))
        fresh = np.asarray([_marginal_s(table, new) for new in NEW_TOKENS])
        longest = max(new for batch, new in table if batch == 1)
        pair_s = table[(1, longest)] / (0.5 * longest * longest)
        slope = np.asarray([self._context_slope_s(heads, new, pair_s) for new in NEW_TOKENS])
        context = np.asarray(CONTEXT_TOKENS, dtype=np.float64)
        return np.asarray(np.maximum.accumulate(fresh)[:, None] + slope[:, None] * context[None, :])

    def _context_slope_s(self, heads: Heads, new: int, pair_s: float) -> float:
        """Seconds that one token of context adds to a chunk.

        FlashAttention 2 gives each tile of 64 or 128 queries of each head to one processor, which walks
        over the whole context: whole waves of tiles. Newer kernels split the context over processors.
        """
        if not self._old_kernel or self._processors is None:
            return max(new, _SMALLEST_CHUNK) * pair_s
        processors, tile = self._processors
        wave = processors * tile / heads.query
        waves = math.ceil(heads.query * math.ceil(new / tile) / processors)
        return max(float(new), waves * wave) * pair_s


_PROCESSORS = {"a100_sxm": (108, 128), "l40s": (142, 64), "rtx_pro_6000_server": (188, 64), "l4": (58, 64)}
"""Streaming multiprocessors and FlashAttention 2's query tile (head size 128) by system."""

_CACHE_BYTES = {
    "a100_sxm": 40e6,
    "b60": 18e6,
    "h100_sxm": 50e6,
    "h200_sxm": 50e6,
    "b200_sxm": 126e6,
    "b300_sxm": 126e6,
    "gb200": 126e6,
    "gb300": 126e6,
    "l4": 48e6,
    "l40s": 96e6,
    "rtx_pro_6000_server": 128e6,
}
"""Last-level cache by system (makers' figures); 50 MB where not listed."""

_CACHE_MARGIN = 1.5
"""A working set a little larger than the cache still hits: of an RTX PRO 6000's 128 MB 134 do, 268 do not."""

_SMALLEST_CHUNK = 64
"""A chunk below this reads the context's keys and values at memory speed, as decode does."""


class DecodeTable:
    """Measured decode attention of one GPU and engine."""

    def __init__(self, tables: Tables, kv_dtype: str = "bfloat16") -> None:
        """Read the table's kernels for one type of keys and values."""
        self._rows = _plain(
            tables.rows(
                "attention_decode",
                ("batch_size", "step", "num_heads", "num_key_value_heads", "head_dim", "latency"),
                optional=("window_size", "attn_dtype", "kv_cache_dtype", "kernel_source"),
            ),
            tables,
            kv_dtype,
        )
        self._key_bytes = 1.0 if kv_dtype == "fp8" else 2.0
        self._cache_bytes = _CACHE_BYTES.get(tables.system, 50e6)

    def fit(self, heads: Heads) -> DecodeFit:
        """Fit each number of sequences on its own; one without large contexts takes its neighbour's slope.

        Raises:
            InputError: the table holds no large contexts for so many heads.
        """
        table = _by_heads(self._rows, heads, ("batch_size", "step"))
        cache_tokens = _CACHE_MARGIN * self._cache_bytes / (2.0 * self._key_bytes * heads.key * heads.size)
        lines = [_Line.of(table, count, cache_tokens) for count in SEQUENCES]
        lines = [line for line in lines if line is not None]
        known = [line.slope for line in lines if line is not None and line.slope is not None]
        if not known:
            raise InputError(f"{self._rows.path}: has no large decode contexts for {heads.query} heads.")
        fixed, slopes, residuals = [], [], []
        nearest = known[0]
        for line in lines:
            assert line is not None
            nearest = nearest if line.slope is None else line.slope
            start = (
                line.start if line.slope is not None else max(line.start - nearest * line.start_context, 0.0)
            )
            fixed.append(start)
            slopes.append(nearest)
            residuals += ((start + nearest * line.context) / line.seconds - 1.0).tolist()
        return DecodeFit(
            tuple(line.count for line in lines if line),
            tuple(fixed),
            tuple(slopes),
            tuple(residuals),
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """Points of one number of sequences and the line through them; slope None without large contexts."""

    count: int
    context: Array
    seconds: Array
    start: float
    start_context: float
    slope: float | None

    @classmethod
    def of(cls, table: dict[tuple[int, int], float], count: int, cache_tokens: float) -> _Line | None:
        points = sorted((step + 1, seconds) for (batch, step), seconds in table.items() if batch == count)
        short = [p for p in points if p[0] <= _SHORT_CONTEXT]
        large = [p for p in points if p[0] > _SHORT_CONTEXT and count * p[0] >= cache_tokens]
        if not short:
            return None
        context = np.asarray([count * c for c, _ in short + large], dtype=np.float64)
        seconds = np.asarray([s for _, s in short + large])
        start = float(np.median([s for _, s in short]))
        if len(large) < 2:
            return cls(count, context, seconds, start, count * float(np.median([c for c, _ in short])), None)
        far = context >= cache_tokens
        slope = max(float(context[far] @ (seconds[far] - start) / (context[far] @ context[far])), 0.0)
        return cls(count, context, seconds, start, 0.0, slope)


def _plain(rows: Rows, tables: Tables, kv_dtype: str) -> Rows:
    """Full attention on queries in bfloat16; a table without these columns holds nothing else.

    Of several kernels for the same shapes (SGLang's backends) the one counts that was measured most: the
    engine's default on this GPU.
    """
    found = rows.where(window_size=0, attn_dtype="bfloat16", kv_cache_dtype=kv_dtype)
    if facts_of(tables.engine).one_kernel and "kernel_source" in found.columns and len(found):
        kernels, counts = np.unique(found.columns["kernel_source"].astype(str), return_counts=True)
        return found.where(kernel_source=str(kernels[np.argmax(counts)]))
    return found


def _by_heads(rows: Rows, heads: Heads, keys: tuple[str, str]) -> dict[tuple[int, int], float]:
    """Median seconds by two keys for these heads; between measured numbers of query heads, interpolated.

    A head size that was not measured with these KV heads is taken as one of 128 with as many bytes a token.
    """
    found = _of_size(rows, heads, keys)
    if found is None and heads.size != 128:
        scale = heads.size / 128
        as_bytes = Heads(max(1, round(heads.query * scale)), max(1, round(heads.key * scale)), 128)
        found = _of_size(rows, as_bytes, keys)
    if found is None:
        same = rows.where(head_dim=heads.size, num_key_value_heads=heads.key)
        measured = np.unique(same.number("num_heads")) if len(same) else np.zeros(0)
        raise InputError(
            f"{rows.path}: has no attention of {heads.query} heads over {heads.key} KV heads of size "
            f"{heads.size}; "
            f"has for these KV heads: {', '.join(f'{h:.0f}' for h in measured) or 'none'}."
        )
    return found


def _of_size(rows: Rows, heads: Heads, keys: tuple[str, str]) -> dict[tuple[int, int], float] | None:
    """As `_by_heads` for exactly this head size; None where these heads lie outside what was measured."""
    same = rows.where(head_dim=heads.size, num_key_value_heads=heads.key)
    # A table of equal query and KV heads is another kernel shape; groups are what the model has.
    measured = np.unique(same.number("num_heads")) if len(same) else np.zeros(0)
    if heads.query in measured:
        return _medians(same.where(num_heads=heads.query), keys)
    below, above = measured[measured < heads.query], measured[measured > heads.query]
    if not len(below) or not len(above):
        return None
    low, high = (
        _medians(same.where(num_heads=below[-1]), keys),
        _medians(same.where(num_heads=above[0]), keys),
    )
    share = (heads.query - below[-1]) / (above[0] - below[-1])
    return {key: (1 - share) * low[key] + share * high[key] for key in low.keys() & high.keys()}


def _medians(rows: Rows, keys: tuple[str, str]) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], list[float]] = {}
    for first, second, latency in zip(
        rows.number(keys[0]), rows.number(keys[1]), rows.number("latency"), strict=True
    ):
        found.setdefault((int(first), int(second)), []).append(float(latency))
    return {key: 1e-3 * float(np.median(values)) for key, values in found.items()}


def _marginal_s(table: dict[tuple[int, int], float], new: int) -> float:
    """What one more prompt of `new` tokens adds to a batch of such; alone where only that was measured."""
    alone = table.get((1, new))
    if alone is None:
        raise InputError(f"the prompt attention table lacks one prompt of {new} tokens; it is incomplete.")
    batches = sorted(
        batch for batch, length in table if length == new and 1 < batch <= max(2, _BATCH_TOKENS // new)
    )
    if new > _BATCH_TOKENS // 2 or not batches:
        return alone
    return max(table[(batches[-1], new)] - alone, 0.0) / (batches[-1] - 1)
