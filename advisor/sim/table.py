"""Simulated requests as an Arrow table, for Parquet files and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from advisor.sim.result import CAUSES, SimResult
from advisor.trace.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa


def requests_table(pools: Sequence[tuple[str, Trace, SimResult]]) -> pa.Table:
    """One row a request in order of arrival: times, tokens, adapter, replica, and seconds by cause."""
    import pyarrow as pa

    tables = [_of_pool(name, trace, result) for name, trace, result in pools]
    return pa.concat_tables(tables).sort_by([("arrival_s", "ascending"), ("pool", "ascending")])


def _of_pool(name: str, trace: Trace, result: SimResult) -> pa.Table:
    import pyarrow as pa

    names = np.asarray([*trace.adapters, "base"], dtype=object)
    columns: dict[str, object] = {
        "pool": pa.array([name] * len(trace)),
        "adapter": pa.array(names[result.adapter].tolist()),
    }
    for field in (
        "arrival_s", "scheduled_s", "first_token_s", "last_token_s", "ttft_s", "tpot_s", "e2e_s",
        "prompt_tokens", "output_tokens", "cached_tokens", "replica", "preemptions", "verify_steps",
    ):  # fmt: skip
        columns[field] = pa.array(getattr(result, field))
    for index, cause in enumerate(CAUSES):
        columns[f"ttft_{cause}_s"] = pa.array(result.ttft_causes_s[:, index])
        columns[f"decode_{cause}_s"] = pa.array(result.decode_causes_s[:, index])
    return pa.table(columns)
