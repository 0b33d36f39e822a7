"""Reading traces: the published formats and our own, told apart by their columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from advisor.errors import InputError
from advisor.trace.formats import FormatName, layout_of
from advisor.trace.rows import trace_from
from advisor.trace.table import read_table
from advisor.trace.trace import Trace


def load_trace(
    path: str | Path,
    *,
    format: FormatName = "auto",
    columns: Mapping[str, str] | None = None,
    block_tokens: int | None = None,
    keep_start: bool = False,
) -> Trace:
    """Read requests from a CSV, JSONL or Parquet file, plain or gzip.

    Args:
        path: the file; "-" reads standard input.
        format: one of the published formats, "plain" for our own columns, "auto" to recognise it.
        columns: our column name to the file's, such as {"adapter": "selected_model"}.
        block_tokens: tokens of a prefix block, where neither file nor format says it.
        keep_start: leave the arrivals as they are; otherwise the first request comes at 0.

    Returns:
        Requests sorted by arrival. `notes` names what was left out, sorted, shifted or is doubtful.

    Raises:
        InputError: the file cannot be read, a column is unknown, no row is good, or more than half are
            broken.
    """
    if block_tokens is not None and block_tokens < 1:
        raise InputError(f"block_tokens is {block_tokens}; allowed: at least 1.")
    mapped = dict(columns or {})
    source = "standard input" if str(path) == "-" else str(path)
    table = read_table(path, lambda header: layout_of(header, format, mapped, source))
    name = "trace" if str(path) == "-" else Path(path).name.split(".")[0] or "trace"
    return trace_from(table, name, source, block_tokens=block_tokens, keep_start=keep_start)
