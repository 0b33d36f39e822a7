"""Reading and writing: round trips, published formats, the fast reader against a slow one, broken rows."""

from __future__ import annotations

import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.trace import Trace, load_trace, save_trace
from advisor.trace.writers import SUFFIXES
from tests.trace.strategies import same, traces


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(trace=traces())
@settings(max_examples=25)
def test_a_trace_survives_its_file_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, trace: Trace
) -> None:
    path = tmp_path_factory.mktemp("trace") / f"t{suffix}"
    save_trace(trace, path)
    assert same(load_trace(path, keep_start=True), trace)


FORMATS = {
    "azure": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.4799600,3180,8\n",
    "azure 2024": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,4808,10\n2024-05-10 02:00:00.509930+02:00,3180,8\n",
    "burstgpt": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,4808,10,4818,Conversation log\n5.5,GPT-4,3180,8,3188,API log\n",
    "vidur": "arrived_at,num_prefill_tokens,num_decode_tokens\n0,4808,10\n0.5,3180,8\n",
    "splitwise": "request_id,request_type,application_id,arrival_timestamp,batch_size,"
    "prompt_size,token_size\n"
    "0,2,0,1,1,4808,10\n1,2,0,1.5,1,3180,8\n",
    "plain": "arrival_s,prompt_tokens,output_tokens\n0,4808,10\n0.5,3180,8\n",
    "plain ms": "arrival_ms;prompt_tokens;output_tokens\r\n0;4808;10\r\n500;3180;8\r\n",
    "plain jsonl": '{"arrival_s": 0, "prompt_tokens": 4808, "output_tokens": 10}\n'
    '{"arrival_s": 0.5, "prompt_tokens": 3180, "output_tokens": 8}\n',
    "jsonl dates": '{"arrival_s": "2024-05-10T00:00:00Z", "prompt_tokens": 4808, "output_tokens": 10}\n'
    '{"arrival_s": "2024-05-10T00:00:00.5Z", "prompt_tokens": 3180, "output_tokens": 8}\n',
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_each_published_format_is_recognised(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / "t.any"
    path.write_bytes(gzip.compress(FORMATS[name].encode()) if packed else FORMATS[name].encode())
    trace = load_trace(path)
    assert trace.arrival_s.tolist() == [0.0, 0.5]
    assert trace.prompt_tokens.tolist() == [4808, 3180]
    assert trace.output_tokens.tolist() == [10, 8]
    assert trace.adapters == ()


def test_mooncake_ids_cover_whole_blocks_only(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [
        {"timestamp": 1000, "input_length": 1100, "output_length": 5, "hash_ids": [7, 8, 9]},
        {"timestamp": 4000, "input_length": 1024, "output_length": 6, "hash_ids": [7, 10]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    trace = load_trace(path)
    assert trace.arrival_s.tolist() == [0.0, 3.0]
    assert trace.prefixes is not None
    assert trace.prefixes.ids.tolist() == [7, 8, 7, 10]
    assert trace.prefixes.block_tokens == 512
    assert any("1 ids of a last, partly filled block" in note for note in trace.notes)


def test_a_column_can_be_mapped_to_adapter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "ts,in,out,selected_model,prio\n1,5,6,sql,2\n2,5,6,,1\n3,5,6,law,1\n4,5,6,base,0\n5,5,6,sql,0\n"
    )
    columns = {
        "arrival_s": "ts",
        "prompt_tokens": "in",
        "output_tokens": "out",
        "adapter": "selected_model",
        "priority": "prio",
    }
    trace = load_trace(path, columns=columns)
    assert trace.adapters == ("sql", "law")
    assert trace.adapter.tolist() == [0, -1, 1, -1, 0]
    assert trace.priority is not None
    assert trace.priority.tolist() == [2, 1, 1, 0, 0]


ROWS = """arrival_s,prompt_tokens,output_tokens
0,10,5
,10,5
x,10,5
-1,10,5
nan,10,5
inf,10,5
5000000000,10,5
1,,5
1,0,5
1,-3,5
1,1.5,5
1,99999999999,5
1,10

1,10,5,6
9,11,5
8,12,5
7,13,5
7,14,5
7,15,5
7,16,5
7,17,5
7,18,5
7,19,5
7,20,5
7,21,5
7,22,5
7,23,5
"""
REASONS = {
    "arrival_s is missing": 3,
    "arrival_s is not a time": 4,
    "arrival_s is negative": 5,
    "arrival_s is not finite": 6,
    "arrival_s is beyond the year 2096": 8,
    "prompt_tokens is missing": 9,
    "prompt_tokens is below 1": 10,
    "prompt_tokens is negative": 11,
    "prompt_tokens is not a whole number": 12,
    "prompt_tokens is above 10,000,000": 13,
    "has 2 fields instead of 3": 14,
    "has 4 fields instead of 3": 16,
}


def test_broken_rows_are_counted_and_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    trace = load_trace(path)
    assert trace.prompt_tokens.tolist() == [10, *range(13, 24), 12, 11]
    for reason, line in REASONS.items():
        note = next(note for note in trace.notes if reason in note)
        assert str(line) in note, note
    assert any("sorted by arrival: 2 rows" in note for note in trace.notes)


def test_failed_requests_of_burstgpt_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Timestamp,Model,Request tokens,Response tokens\n1,a,5,0\n2,a,5,6\n3,a,5,6\n")
    assert "left out 1 row: failed request (0 response tokens) (line 2)" in load_trace(path).notes


def test_milliseconds_in_a_column_of_seconds_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "arrival_s,prompt_tokens,output_tokens\n" + "".join(f"{500 * i},5,6\n" for i in range(200))
    )
    assert any("map it as arrival_ms=arrival_s" in note for note in load_trace(path).notes)
    fast = load_trace(path, columns={"arrival_ms": "arrival_s"})
    assert fast.duration_s == pytest.approx(99.5)
    assert fast.notes == ()


cells = st.sampled_from(
    ["1", "7.0", "0", "-2", "", " 3 ", "x", "nan", "1e3", "1e400", "2.5", "+4", "0x1", "1_0", "١"]
)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12))
@settings(max_examples=60)
def test_the_fast_reader_agrees_with_a_slow_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("slow") / "t.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("arrival_s", "prompt_tokens", "output_tokens"), *rows])
    expected = slow_read(path)
    if 2 * len(expected) < len(rows) or not expected:
        with pytest.raises(InputError, match="good row"):
            load_trace(path)
        return
    trace = load_trace(path, keep_start=True)
    got = list(zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True))
    assert got == sorted(expected, key=lambda row: row[0])


def slow_read(path: Path) -> list[tuple[float, int, int]]:
    """The specification: one row at a time."""
    kept = []
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                if any(not text.strip().isascii() or "_" in text for text in row.values()):
                    continue
                arrival_s, prompt, output = (float(text) for text in row.values())
            except ValueError:
                continue
            whole = all(1 <= tokens <= 10_000_000 and tokens == int(tokens) for tokens in (prompt, output))
            if 0 <= arrival_s <= 4e9 and whole:
                kept.append((arrival_s, int(prompt), int(output)))
    return kept


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "requests", "first"),
    [
        ("azure_llm_2023_conv.csv.gz", 19_366, (374, 44)),
        ("azure_llm_2023_code.csv.gz", 8_819, (4808, 10)),
        ("mooncake_fast25_conversation.jsonl.gz", 12_031, (6758, 500)),
    ],
)
def test_the_public_traces_are_read_whole(
    shared_data: Path, file: str, requests: int, first: tuple[int, int]
) -> None:
    trace = load_trace(shared_data / "traces" / file)
    assert len(trace) == requests
    assert (trace.prompt_tokens[0], trace.output_tokens[0]) == first
    assert trace.arrival_s[0] == 0
    assert not any("left out" in note and "row" in note for note in trace.notes)


@pytest.mark.slow
def test_a_million_rows_are_read_in_a_few_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 1_000_000
    trace = Trace(
        np.cumsum(rng.exponential(0.1, count)),
        rng.integers(1, 5000, count),
        rng.integers(1, 500, count),
        np.full(count, -1, dtype=np.int64),
    )
    path = tmp_path / "t.csv"
    save_trace(trace, path)
    start = time.perf_counter_ns()
    read = load_trace(path, keep_start=True)
    assert (time.perf_counter_ns() - start) / 1e9 < 10
    assert same(read, trace)


def test_a_json_value_of_another_type_is_a_broken_row(tmp_path: Path) -> None:
    good = {"arrival_s": 1, "prompt_tokens": 5, "output_tokens": 6, "adapter": "a", "prefix_block_tokens": 1}
    wrong = [
        ("prompt_tokens", True, "prompt_tokens is not a number"),
        ("prompt_tokens", "5", "prompt_tokens is not a number"),
        ("output_tokens", None, "output_tokens is missing"),
        ("adapter", ["a"], "adapter is not a printable name"),
        ("adapter", "a\nb", "adapter is not a printable name"),
        ("prefix_hashes", [1, "x"], "prefix_hashes is not a list of block ids"),
        ("prefix_hashes", 5, "prefix_hashes is not a list of block ids"),
        ("prefix_hashes", [1, 2, 3, 4, 5, 6], "prefix_hashes has more ids than blocks"),
        ("priority", 0.5, "priority is not a whole number"),
    ]
    rows = [{**good, "priority": 1, "prefix_hashes": [1]}] * 12
    path = tmp_path / "t.jsonl"
    for field, value, reason in wrong:
        path.write_text("\n".join(map(json.dumps, [*rows, {**rows[0], field: value}])))
        trace = load_trace(path)
        assert len(trace) == 12
        assert any(f"left out 1 row: {reason}" in note and "(line 13)" in note for note in trace.notes), (
            reason
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_awkward_names_survive(tmp_path: Path, suffix: str) -> None:
    names = ("a,b", '"', "a;b", " x ", "null", "nan", "=1+1", "é")
    count = len(names)
    one = np.ones(count, dtype=np.int64)
    trace = Trace(np.arange(count, dtype=float), one, one, np.arange(count), names)
    save_trace(trace, tmp_path / f"t{suffix}")
    assert same(load_trace(tmp_path / f"t{suffix}", keep_start=True), trace)
