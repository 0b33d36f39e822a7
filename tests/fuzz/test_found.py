"""What the guided fuzzer found, cut down to what matters: each of these ended in an error of Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from tests.fuzz.seeds import REPLAY, RUNS, as_json, as_lines, gzipped, parquet
from tests.fuzz.targets import TARGETS

_DEEP = b"[" * 1500 + b"]" * 1500
_MARK = b'{"fingerprint": {"model": "m"}}\n'
_JOURNAL = b'{"fingerprint": {"trace": "t", "seed": 0}}\n'
_POINTS = TARGETS["published points"].good()[0]
_RUNS = TARGETS["runs of a server"].good()[0]
_PARQUET = TARGETS["trace in Parquet, bytes"].good()[0]
_NO_TEXT = pa.array([b"a", b"t\xb9"]).view(pa.string())
_FITTED = json.loads(TARGETS["fitted workload"].good()[0])
_RULE = {
    "id": "x", "when": ["unmerged"], "verdict": "warn", "reason": "{engine:999999999}", "mend": "m",
    "source": "s", "date": "d",
}  # fmt: skip


def _replay(**columns: Any) -> bytes:
    """The golden replay's first two rows with other columns."""
    table = pq.read_table(REPLAY).slice(0, 2)
    sink = pa.BufferOutputStream()
    whole = {name: columns.get(name, table.column(name)) for name in table.column_names}
    pq.write_table(pa.table(whole).replace_schema_metadata(table.schema.metadata), sink)
    return bytes(sink.getvalue())


FOUND = {
    "a cell that is no number": (
        "runs of a server",
        _RUNS.replace(b"22.7", b"True"),
        "median_ttft_ms is 'True'; allowed: a",
    ),
    "a number without end": (
        "published points",
        _POINTS.replace(b"719.2", b"1e999"),
        "silicon_ttft_ms is '1e999'",
    ),
    "half a token": (
        "published points",
        _POINTS.replace(b"4000", b"0.5"),
        "isl is '0.5'; allowed: a whole number",
    ),
    "a cell too few": ("runs of a server", _RUNS.replace(b",22.7", b""), "line 2: has 8 cells; allowed: 9"),
    "slots that are none": (
        "capacity of a server",
        b"model,family,max_loras,max_lora_rank,kv_cache_tokens\nm,v1,[,1,1\n",
        "max_loras is '['; allowed: a finite number",
    ),
    "a time below nought": (
        "Vidur's medians",
        TARGETS["Vidur's medians"].good()[0].replace(b"0.02", b"-1", 1),
        "line 2: input_layernorm_ms is '-1'; allowed: a number above 0",
    ),
    "damaged inside gzip": (
        "table in gzip, bytes",
        gzipped(b"a,b\n1,2\n" * 99)[:20] + b"\xff" * 9,
        "is not readable as text",
    ),
    "an endless cell": (
        "table in gzip, bytes",
        gzipped(b"a\n" + b"x" * 200_000),
        "is no CSV: field larger than",
    ),
    "tables without rows": (
        "LLMServingSim's tables",
        as_json({"dense": "gpu,model,tp", "meta": {}}),
        "holds no tables",
    ),
    "a degree in words": (
        "LLMServingSim's tables",
        as_json({"dense": "gpu,model,tp\na,b,one", "meta": {}}),
        "tp is 'one'",
    ),
    "latencies in words": (
        "operator table, columns",
        as_json({"m": [1], "latency": ["a"]}),
        "a latency that is not positive",
    ),
    "latencies in objects": (
        "operator table, columns",
        as_json({"m": [1], "latency": [{"a": 1}]}),
        "a latency that is not",
    ),
    "seconds beyond a float": (
        "samples of a calibration",
        _MARK + b'{"op": "a", "s": 1%s}\n' % (b"0" * 400),
        "line 2 is",
    ),
    "a size beyond a float": (
        "samples of a calibration",
        _MARK + b'{"op": "a", "m": 1%s, "s": 1}\n' % (b"0" * 400),
        "line 2",
    ),
    "nested samples": ("samples of a calibration", _MARK + _DEEP + b"\n{}\n", "line 2 is no JSON"),
    "nested prompts": ("prompts", _DEEP, "line 1: is no JSON"),
    "a column's name": (
        "trace in Parquet, bytes",
        _PARQUET.replace(b"output_tokens", b"output_tok\xb9ns"),
        "is not a Parquet",
    ),
    "a width in a rule": (
        "catalog of rules",
        as_json({"schema_version": 1, "rules": [_RULE]}),
        "braces name only engine",
    ),
    "an attribute in a rule": (
        "catalog of rules",
        as_json({"schema_version": 1, "rules": [{**_RULE, "reason": "{engine.__class__}"}]}),
        "braces name only engine",
    ),
    "a field called [key]": (
        "fitted workload",
        as_json(_FITTED | {"[key]": 1}),
        "['[key]']: no such field",
    ),
    "an adapter that is no text": (
        "trace in Parquet, bytes",
        parquet({"arrival_s": [0, 1], "prompt_tokens": [1, 2], "output_tokens": [1, 2], "adapter": _NO_TEXT}),
        "is not a Parquet file",
    ),
    "a latency below nought": (
        "table of runs",
        RUNS.replace(b",20,50", b",20,-50"),
        "2 are left out. The first: ttft_mean_ms is '-50', below 0",
    ),
    "a status that is no text": ("replay result, bytes", _replay(status=_NO_TEXT), "is no replay result"),
}
"""Name: (target, content, a part of the sentence)."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_a_sentence_now(name: str, tmp_path: Path) -> None:
    target, content, part = FOUND[name]
    assert part in TARGETS[target].outcome(content, tmp_path)


def test_a_journal_with_an_endless_count_loses_that_line_alone(tmp_path: Path) -> None:
    row = json.loads(TARGETS["journal of a replay"].good()[0].splitlines()[1])
    content = (
        _JOURNAL + as_lines([row, {**row, "i": 1, "output_tokens": float("inf")}, {**row, "i": 2}]) + b"\n"
    )
    assert TARGETS["journal of a replay"].outcome(content, tmp_path) == ""
    assert len((tmp_path / "r.journal").read_bytes().splitlines()) == 2


@pytest.mark.parametrize("name", [b"t." + b"a" * 300 + b".csv", b"t." + b"b." * 200 + b"csv"])
def test_a_long_name_of_an_upload_is_cut(name: bytes, tmp_path: Path) -> None:
    content = TARGETS["upload"].good()[0].partition(b"\n")[2]
    assert TARGETS["upload"].outcome(name + b"\n" + content, tmp_path) == ""
