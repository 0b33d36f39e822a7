"""Writing traces: plain CSV, JSONL or Parquet by suffix, whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from advisor.errors import InputError
from advisor.files import write_bytes
from advisor.trace.trace import Trace
from advisor.trace.values import is_name

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")


def save_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace that `load_trace(path, keep_start=True)` reads back to the last bit.

    Names that no request uses, the trace's name and its notes are not written. Requests to the base model
    have an empty adapter.

    Raises:
        InputError: an unknown suffix, an adapter's name that cannot be written, or a folder that refuses.
    """
    write_bytes(path, trace_bytes(trace, suffix_of(path)))


def suffix_of(path: str | Path) -> str:
    """The suffix that decides the format.

    Raises:
        InputError: not one of ours.
    """
    suffix = next((one for one in SUFFIXES if str(path).lower().endswith(one)), None)
    if suffix is None:
        raise InputError(
            f"{path}: the name ends in {Path(path).suffix or 'nothing'!r}; allowed: {', '.join(SUFFIXES)}."
        )
    return suffix


def trace_bytes(trace: Trace, suffix: str) -> bytes:
    """The file's content. Raises InputError as `save_trace`."""
    bad = [name for name in trace.adapters if not is_name(name) or name == "base"]
    if bad:
        raise InputError(
            f"adapter is {bad[0]!r:.60}; allowed: a printable name that is not 'base'. Rename it."
        )
    if suffix == ".parquet":
        content = _parquet(trace)
    else:
        content = _csv(trace) if suffix.startswith(".csv") else _jsonl(trace)
    return gzip.compress(content, mtime=0) if suffix.endswith(".gz") else content


def _table(trace: Trace, base: str | None) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "arrival_s": pa.array(trace.arrival_s),
        "prompt_tokens": pa.array(trace.prompt_tokens),
        "output_tokens": pa.array(trace.output_tokens),
    }
    if trace.adapters:
        words = pa.array([*trace.adapters, base], pa.string())
        columns["adapter"] = words.take(
            pa.array(np.where(trace.adapter < 0, len(trace.adapters), trace.adapter))
        )
    if trace.priority is not None:
        columns["priority"] = pa.array(trace.priority)
    if trace.prefixes is not None:
        offsets = pa.array(trace.prefixes.offsets, pa.int64())
        columns["prefix_hashes"] = pa.LargeListArray.from_arrays(
            offsets, pa.array(trace.prefixes.ids, pa.int64())
        )
        columns["prefix_block_tokens"] = pa.array(np.full(len(trace), trace.prefixes.block_tokens))
    return pa.table(columns)


def _parquet(trace: Trace) -> bytes:
    import pyarrow.parquet as arrow_parquet

    stream = io.BytesIO()
    arrow_parquet.write_table(_table(trace, None), stream, compression="zstd")
    return stream.getvalue()


def _csv(trace: Trace) -> bytes:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    table = _table(trace, "")
    if trace.prefixes is not None:
        texts = [" ".join(map(str, ids)) for ids in table.column("prefix_hashes").to_pylist()]
        place = table.schema.get_field_index("prefix_hashes")
        table = table.set_column(place, "prefix_hashes", pa.array(texts, pa.string()))
    stream = io.BytesIO()
    stream.write((",".join(table.schema.names) + "\n").encode())
    arrow_csv.write_csv(table, stream, arrow_csv.WriteOptions(include_header=False, quoting_style="needed"))
    return stream.getvalue()


def _jsonl(trace: Trace) -> bytes:
    rows = _table(trace, None).to_pylist()
    lines = (json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()
