"""A replay result taken apart into header and columns, so that more than its frame is spoiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.replayed import load_replay
from tests.fuzz import seeds
from tests.fuzz.target import in_file

_KEY: Final = b"lora_advisor"


def replay_columns() -> list[bytes]:
    """{"header": ..., "columns": {name: values}} of the golden result, six requests long."""
    table = pq.read_table(seeds.REPLAY).slice(0, 6)
    header = json.loads(table.schema.metadata[_KEY])
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return [seeds.as_json({"header": header, "columns": columns})]


def replay_of(value: Any, folder: Path) -> object:
    """Write such data as a replay result, and read it."""
    sink = pa.BufferOutputStream()
    try:
        table = pa.table(value["columns"]).replace_schema_metadata(
            {_KEY: json.dumps(value["header"]).encode()}
        )
        pq.write_table(table, sink)
    except Exception:  # noqa: BLE001 - not every data makes a table
        return None
    return in_file(load_replay, "r.parquet")(bytes(sink.getvalue()), folder)
