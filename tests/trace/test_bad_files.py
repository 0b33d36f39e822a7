"""Every way in which a trace file can be bad ends in one clear sentence that names the file."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.trace import Trace, load_trace, save_trace, table

HEADER = "arrival_s,prompt_tokens,output_tokens\n"
GOOD = HEADER + "0,5,6\n1,5,6\n"
CASES: Mapping[str, tuple[bytes, dict[str, Any], str]] = {
    "empty": (b"", {}, "is empty"),
    "blank": (b" \n\n", {}, "is empty"),
    "empty gzip": (gzip.compress(b""), {}, "is empty"),
    "truncated gzip": (gzip.compress(os.urandom(5000))[:900], {}, "cut short"),
    "damaged gzip": (b"\x1f\x8b" + b"x" * 40, {}, "damaged gzip"),
    "binary": (b"ab\0c" * 50, {}, "is binary"),
    "not UTF-8 header": (b"\xff\xfe,b\n1,2\n", {}, "not UTF-8"),
    "not UTF-8 in a row": (
        HEADER.replace("\n", ",adapter\n").encode() + b"0,5,6,\xff\n",
        {},
        r"line 2: is not UTF-8 text",
    ),
    "header only": (HEADER.encode(), {}, "no row"),
    "JSON list": (b'[{"arrival_s": 1}]', {}, "one JSON list"),
    "no JSON": (b"{nonsense\n", {}, "is not JSON"),
    "deep JSON": (b'{"a":' * 100_000, {}, "is not JSON"),
    "truncated parquet": (b"PAR1" + b"x" * 100, {}, "Parquet"),
    "unknown header": (b"a,b,c\n1,2,3\n", {}, "has no column for arrival_s, prompt_tokens, output_tokens"),
    "near miss": (b"arrival_s,prompt_token,output_tokens\n1,2,3\n", {}, "Did you mean prompt_token?"),
    "column twice": (b"arrival_s,arrival_s,x\n1,2,3\n", {}, "more than once"),
    "unknown mapped column": (
        GOOD.encode(),
        {"columns": {"adapter": "output_tokns"}},
        "Did you mean output_tokens?",
    ),
    "unknown column of ours": (
        GOOD.encode(),
        {"columns": {"adaptr": "arrival_s"}},
        "Did you mean adapter?",
    ),
    "unknown format": (GOOD.encode(), {"format": "azur"}, "Did you mean azure?"),
    "wrong format": (GOOD.encode(), {"format": "azure"}, "TIMESTAMP"),
    "no good row": ((HEADER + "x,5,6\n").encode(), {}, "no good row among 1"),
    "more than half broken": ((HEADER + "0,5,6\n1,x,6\n1,y,6\n").encode(), {}, "less than half a good row"),
    "epoch milliseconds": ((HEADER + "1700000000000,5,6\n").encode(), {}, "milliseconds?"),
    "ids without a block size": (
        b'{"arrival_s": 0, "prompt_tokens": 99, "output_tokens": 1, "prefix_hashes": [1]}',
        {},
        "tokens of a block",
    ),
    "bad block size": (GOOD.encode(), {"block_tokens": 0}, "at least 1"),
    "huge integers": (
        b'{"arrival_s": 0, "prompt_tokens": 1' + b"0" * 400 + b', "output_tokens": 1}\n',
        {},
        "not finite",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    content, options, said = CASES[case]
    path = tmp_path / "mine.any"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said.replace("?", r"\?")) as caught:
        load_trace(path, **options)
    assert len(caught.value.sentences) == 1
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_trace(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        load_trace(tmp_path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_BYTES", 10_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode() + b"0,5,6\n" * 5_000))
    with pytest.raises(InputError, match="unpacks to more than"):
        load_trace(path)


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 1)
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    with pytest.raises(InputError, match="at most 1"):
        load_trace(path)


def test_a_bad_name_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    trace = load_trace(path)
    bad = Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, trace.adapter + 1, ("a\nb",))
    with pytest.raises(InputError, match="printable"):
        save_trace(bad, path)
    with pytest.raises(InputError, match=r"ends in '\.xls'"):
        save_trace(trace, tmp_path / "t.xls")
    assert path.read_text() == GOOD
