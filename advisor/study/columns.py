"""The columns of a study's result: where a point lies, how it ended, and what was found there."""

from __future__ import annotations

import math
from typing import Any, Final

import pyarrow as pa

from advisor.recommendation import Option, Percentiles

Row = dict[str, Any]

AXIS_TYPES: Final = {
    "load": pa.float64(),
    "adapters": pa.int64(),
    "ranks": pa.int64(),
    "devices": pa.string(),
    "ways": pa.string(),
    "tensor_parallel": pa.int64(),
    "replicas": pa.int64(),
    "max_loras": pa.int64(),
    "seeds": pa.int64(),
}
"""Axis of the grid -> type of its column, `at_<axis>`; null where the axis is not in the grid."""

_LATENCIES: Final = ("ttft", "tpot", "itl", "e2e")
_COUNTS: Final = (
    "requests",
    "counted_requests",
    "unfinished_requests",
    "preemptions",
    "loads_from_disk",
    "loads_to_slot",
)
_RATES: Final = (
    "goodput_share",
    "throughput_rps",
    "output_tokens_per_s",
    "total_tokens_per_s",
    "utilisation",
    "mean_batch",
    "acceptance_length",
)
_PERCENTILES: Final = tuple(
    f"{latency}_{name}" for latency in _LATENCIES for name in Percentiles.model_fields
)

SCHEMA: Final = pa.schema(
    [
        pa.field("point", pa.int64(), nullable=False),
        *(pa.field(f"at_{axis}", kind) for axis, kind in AXIS_TYPES.items()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("option", "way", "device", "origin")),
        *(pa.field(name, pa.int64()) for name in ("tensor_parallel", "replicas", "devices", "max_loras")),
        *(pa.field(name, pa.float64()) for name in ("usd_per_hour", "usd_per_mtok", "rate_rps", "headroom")),
        *(pa.field(name, pa.float64()) for name in (*_PERCENTILES, *_RATES)),
        *(pa.field(name, pa.int64()) for name in _COUNTS),
    ]
)
"""One row a point. status: `holds` (the objective is met), `breaks` (it is not), `infeasible` (cannot run),
`refused` (the point asks for what makes no sense); the reason says why. Latencies are seconds."""


def of_option(option: Option) -> Row:
    """What an option says, in columns; nulls where nothing was simulated."""
    out = option.outcome
    row: Row = {
        "status": "holds" if option.feasible else "breaks" if out is not None else "infeasible",
        "reason": option.reason,
        "option": option.key,
        "way": option.way,
        "device": option.device,
        "origin": option.origin.value,
        "tensor_parallel": option.tensor_parallel,
        "replicas": option.replicas,
        "devices": option.devices,
        "max_loras": None if option.limits is None else option.limits.max_loras,
        "usd_per_hour": option.usd_per_hour,
        "usd_per_mtok": option.usd_per_mtok,
        "headroom": option.headroom,
    }
    if out is not None:
        for latency in _LATENCIES:
            found: Percentiles = getattr(out, latency)
            row |= {f"{latency}_{name}": getattr(found, name) for name in Percentiles.model_fields}
        row |= {name: getattr(out, name) for name in (*_RATES, *_COUNTS)}
    return row


def table_of(rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table with every column; what a row lacks is null."""
    columns = {
        field.name: pa.array([_plain(row.get(field.name)) for row in rows], type=field.type)
        for field in SCHEMA
    }
    return pa.table(columns, schema=SCHEMA)


def _plain(value: Any) -> Any:
    """NaN, which says that there is no such figure, becomes null; infinity stays: a queue without end."""
    return None if isinstance(value, float) and math.isnan(value) else value
