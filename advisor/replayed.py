"""The result of a replay: what calibration writes and predictions are held against. Version 1.

One Parquet file: a row a request in the trace's order, and in the file's metadata (key `lora_advisor`) a
header in JSON. Times are seconds since the replay began; NaN: did not happen. Latency counts from
`arrival_s`, the moment at which the trace wanted the request sent, whenever that came to be.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field

from advisor.errors import InputError, validated
from advisor.files import check_schema_version, read_bytes, write_bytes
from advisor.parquetfile import open_parquet
from advisor.spec.spec import Spec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OK: Final = "ok"
_KEY: Final = b"lora_advisor"
_MAX_BYTES: Final = 4 * 2**30


class ReplayHeader(Spec):
    """What was replayed, against what, by whom."""

    schema_version: Literal[1] = Field(1, description="Version of the file format.")
    created: AwareDatetime = Field(description="When, with time zone.")
    producer: str = Field(min_length=1, description="Program and version that wrote the file.")
    command: str = Field("", description="Writes the file again.")
    target: str = Field(min_length=1, description="builtin, or the address of the server.")
    engine: str = Field(min_length=1, description="builtin, vllm, sglang, ...")
    engine_version: str = Field("", description="As the engine calls itself; empty: it did not say.")
    model: str = Field(min_length=1, description="The base model, as requests name it.")
    trace: str = Field(min_length=1, description="Name of the trace.")
    adapters: tuple[str, ...] = Field((), description="Names by index.")
    seed: int = Field(0, ge=0, description="Of the prompts and of sampling.")
    speed: float = Field(1.0, gt=0, description="Times were divided by it.")
    complete: bool = Field(True, description="Whether every request was sent.")
    lateness_p50_s: float = Field(0.0, ge=0, description="Sent minus wanted, median.")
    lateness_p99_s: float = Field(0.0, ge=0)
    lateness_max_s: float = Field(0.0, ge=0)
    client_late: bool = Field(False, description="The client was too slow: latencies are partly its own.")
    counters: dict[str, float] | None = Field(None, description="Totals of the engine, where it tells them.")
    environment: dict[str, str] = Field(default_factory=dict, description="Machine and versions.")
    notes: tuple[str, ...] = Field((), description="What a reader must know.")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One row a request. `chunk_*` are ragged: request i has the places offsets[i] to offsets[i + 1]."""

    header: ReplayHeader
    arrival_s: Floats
    sent_s: Floats
    scheduled_s: Floats  # start of its first step; NaN where the engine does not tell
    first_token_s: Floats
    last_token_s: Floats
    prompt_tokens: Ints
    wanted_tokens: Ints  # answer length of the trace
    output_tokens: Ints  # as the engine counted
    adapter: Ints  # index into header.adapters; -1: the base model
    status: NDArray[np.str_]  # ok, or what went wrong
    preemptions: Ints
    cached_tokens: Ints
    verify_steps: Ints
    chunk_offsets: Ints  # (requests + 1,)
    chunk_s: Floats  # when each part of an answer came
    chunk_tokens: Ints

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which requests were answered, shape (requests,)."""
        return np.asarray(self.status == OK)

    @property
    def ttft_s(self) -> Floats:
        """Time to first token (requests,), from the moment at which the request should have been sent."""
        return self.first_token_s - self.arrival_s

    @property
    def e2e_s(self) -> Floats:
        """End-to-end latency (requests,), from that same moment to the last token; NaN where unanswered."""
        return self.last_token_s - self.arrival_s

    @property
    def tpot_s(self) -> Floats:
        """(E2E - TTFT) / (output tokens - 1); 0 for one-token answers, as `vllm bench serve` counts them."""
        gaps = np.maximum(self.output_tokens - 1, 1)
        return np.where(self.output_tokens > 1, (self.last_token_s - self.first_token_s) / gaps, 0.0)

    @property
    def itl_s(self) -> Floats:
        """All gaps between two parts of an answer, of the answered requests in order, shape (gaps,)."""
        found = [
            np.diff(self.chunk_s[self.chunk_offsets[i] : self.chunk_offsets[i + 1]])
            for i in np.flatnonzero(self.done)
        ]
        return np.concatenate(found) if found else np.zeros(0)

    @property
    def errors(self) -> dict[str, int]:
        """Requests that failed, by kind."""
        kinds, counts = np.unique(self.status[~self.done], return_counts=True)
        return {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}


_RAGGED: Final = ("chunk_s", "chunk_tokens")
_OWN: Final = ("header", "chunk_offsets", *_RAGGED)
_COLUMNS: Final = tuple(f.name for f in fields(ReplayResult) if f.name not in _OWN)
_ALLOWED: Final = "allowed: a file that `calibrate replay` wrote."


def save_replay(result: ReplayResult, path: str | Path) -> None:
    """Write a result; the old file stays whole until the new one is complete.

    Raises:
        InputError: the place cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {name: pa.array(getattr(result, name).tolist()) for name in _COLUMNS}
    offsets = pa.array(result.chunk_offsets.astype(np.int32))
    for name in _RAGGED:
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(getattr(result, name)))
    table = pa.table(columns).replace_schema_metadata({_KEY: result.header.model_dump_json().encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def load_replay(path: str | Path) -> ReplayResult:
    """Read a result.

    Raises:
        InputError: missing, no Parquet, not written by `calibrate replay`, broken, or of a newer version.
    """
    import pyarrow as pa

    content = read_bytes(path, max_bytes=_MAX_BYTES)
    try:
        # Arrow's threads, left over from a broken page, may abort the program when it ends.
        table = open_parquet(content).read(use_threads=False)
        table.validate(full=True)  # texts that are no UTF-8 show only when they are used
        raw = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError):
        raise InputError(f"{path}: is no replay result; {_ALLOWED}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: its header is no object; {_ALLOWED}")
    check_schema_version(raw, 1, str(path))
    header = validated(ReplayHeader, raw, f"{path}: header")
    missing = [name for name in (*_COLUMNS, *_RAGGED) if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; allowed: all of a replay result.")
    other = [name for name in _RAGGED if not pa.types.is_list(table.schema.field(name).type)]
    holes = [name for name in (*_COLUMNS, *_RAGGED) if table.column(name).null_count]
    if other or holes:
        what = "holds no lists" if other else "has empty cells"
        raise InputError(f"{path}: {', '.join(other or holes)} {what}; {_ALLOWED}")
    _check_kinds(table, path)
    return _result(header, table, path)


def _check_kinds(table: Any, path: str | Path) -> None:
    """Times and counts are numbers and outcomes are texts; a table without rows has no kinds."""
    import pyarrow.types as kinds

    for name in (*_COLUMNS, *_RAGGED) if table.num_rows else ():
        kind = table.schema.field(name).type
        kind = kind.value_type if name in _RAGGED else kind
        if name == "status":
            fits, allowed = kinds.is_string(kind) or kinds.is_large_string(kind), "text"
        elif name.endswith("_s"):
            fits, allowed = kinds.is_float64(kind) or kinds.is_float32(kind), "seconds as floats"
        else:
            fits, allowed = kinds.is_signed_integer(kind), "whole numbers"
        if not fits:
            raise InputError(f"{path}: the column {name} holds {kind!s:.60}; allowed: {allowed}.")


def _result(header: ReplayHeader, table: Any, path: str | Path) -> ReplayResult:
    chunks = {name: table.column(name).combine_chunks() for name in _RAGGED}
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS}
    columns["status"] = columns["status"].astype(np.str_)
    known = len(header.adapters)
    if table.num_rows and not -1 <= columns["adapter"].min() <= columns["adapter"].max() < known:
        raise InputError(
            f"{path}: the column adapter points beyond the {known} names; allowed: -1 to {known - 1}."
        )
    counts = [np.asarray(chunks[name].value_lengths()) for name in _RAGGED]
    if not np.array_equal(counts[0], counts[1]):
        raise InputError(f"{path}: chunk_s and chunk_tokens differ in length; allowed: one time a chunk.")
    offsets = np.concatenate([[0], np.cumsum(counts[0])]).astype(np.int64)
    return ReplayResult(
        header,
        **columns,
        chunk_offsets=offsets,
        chunk_s=chunks["chunk_s"].flatten().to_numpy(zero_copy_only=False),
        chunk_tokens=chunks["chunk_tokens"].flatten().to_numpy(zero_copy_only=False),
    )
