"""An estimate of unmerged LoRA from the small-rank matrix products of the same table.

Each packed projection (qkv, o, gate_up, down) gets one grouped shrink (k = d_in, n = slices · r) and one
grouped expand (k = r, n = Σ d_out) launch, as engines do (engines.md 5.4). The sum over a grid of tokens
and ranks is fitted by

    fixed + r · per_rank + T · per_token + T · r · per_token_rank

No LoRA kernel was measured: this is what ordinary products of these sizes cost. What distinct adapters
and reserved slots add is not in such a table; `carried` has it from a real server.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from calibration.fit import Fit, fit_non_negative
from calibration.importers.dense import Split
from calibration.importers.gemms import GemmTable

Array = NDArray[np.float64]

RANKS = (8, 16, 32, 64, 128)
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


def lora_gemms_s(
    table: GemmTable, model: ModelShape, tensor_parallel: int, tokens: Array, rank: int
) -> Array:
    """Seconds of all layers' shrink and expand products at one rank.

    Under tensor parallelism column-parallel layers shard B, row-parallel ones A (engines.md; without
    fully_sharded_loras the other factor is whole on every device).
    """
    split = Split.of(model, tensor_parallel)
    packed = (
        (3, float(split.hidden), split.query + 2 * split.key),
        (1, split.query, float(split.hidden)),
        (2, float(split.hidden), 2 * split.inner),
        (1, split.inner, float(split.hidden)),
    )
    one = sum(
        table.at(tokens, slices * rank, d_in) + table.at(tokens, d_out, rank)
        for slices, d_in, d_out in packed
    )
    return np.asarray(model.layers * one)


def fit_lora(table: GemmTable, model: ModelShape, tensor_parallel: int) -> Fit:
    """Fit fixed_s, per_weight_byte_s (of one adapter), per_token_s and per_token_rank_s.

    The weight bytes are those of the whole adapter, as the term counts them at any degree.
    """
    tokens = np.asarray(TOKENS, dtype=np.float64)
    columns: dict[str, list[Array]] = {name: [] for name in ("fixed", "byte", "token", "token_rank")}
    seconds = []
    for rank in RANKS:
        seconds.append(lora_gemms_s(table, model, tensor_parallel, tokens, rank))
        columns["fixed"].append(np.ones_like(tokens))
        columns["byte"].append(np.full_like(tokens, adapter_bytes(model, ALL_LINEAR, rank)))
        columns["token"].append(tokens)
        columns["token_rank"].append(tokens * rank)
    return fit_non_negative(
        {name: np.concatenate(parts) for name, parts in columns.items()}, np.concatenate(seconds)
    )
