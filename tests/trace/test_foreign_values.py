"""Values that a reader of files does not expect; each once ended in an error of a library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.trace.readers import load_trace


def test_half_a_surrogate_pair_is_no_arrival(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    counts = '"prompt_tokens": 9, "output_tokens": 2'
    rows = [f'{{"arrival_s": "{word}", {counts}}}' for word in ("0", "1", "\\ud800")]
    path.write_text("\n".join(rows))
    trace = load_trace(path)
    assert trace.arrival_s.tolist() == [0.0, 1.0]
    assert "line 3" in " ".join(trace.notes)


@pytest.mark.parametrize(("unit", "start"), [("s", 2**40), ("ms", 2**55), ("us", 253402300799000000)])
def test_dates_beyond_those_of_nanoseconds_are_read(tmp_path: Path, unit: str, start: int) -> None:
    """Year 9999 in microseconds has no nanoseconds in 64 bits."""
    ticks = {"s": 1, "ms": 1000, "us": 1_000_000}[unit]
    times = pa.array([start, start + ticks, start + 3 * ticks], pa.timestamp(unit))
    table = pa.table({"arrival_s": times, "prompt_tokens": [1, 2, 3], "output_tokens": [1, 2, 3]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert np.array_equal(load_trace(tmp_path / "t.parquet").arrival_s, [0.0, 1.0, 3.0])
