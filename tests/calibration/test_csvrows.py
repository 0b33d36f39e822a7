"""Somebody else's tables: cells by kind, told by their line; bounded however they are packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from advisor.errors import InputError
from calibration.importers import csvrows
from calibration.importers.csvrows import Row, csv_rows


def test_cells_are_what_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeffa,b\n"x, y",16.0\n\n-0.5,1e3\n', encoding="utf-8")
    first, second = csv_rows(tmp_path / "t.csv", ("a", "b"))
    assert (first["a"], first.whole("b"), second.number("a"), second.positive("b")) == (
        "x, y",
        16,
        -0.5,
        1000.0,
    )
    assert second.source == "t.csv: line 4"


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "1e16", "1_0_", "\x1b"])
def test_what_is_no_number_names_its_place(text: str) -> None:
    with pytest.raises(InputError, match=r"^t: line 2: a is .*; allowed: a finite number"):
        Row({"a": text}, "t: line 2").number("a")


@pytest.mark.parametrize("text", ["-1", "0.5"])
def test_a_part_is_no_count(text: str) -> None:
    with pytest.raises(InputError, match="allowed: a whole number of at least 0"):
        Row({"a": text}, "t").whole("a")


@pytest.mark.parametrize("text", ["0", "-1"])
def test_no_time_is_nought_or_below(text: str) -> None:
    with pytest.raises(InputError, match="allowed: a number above 0"):
        Row({"a": text}, "t").positive("a")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\n1\n", "lacks the column b; has: a"),
        (b"a,b\n1\n", "line 2: has 1 cells; allowed: 2, as the header"),
        (b"a,b\n1,2,3\n", "line 2: has 3 cells; allowed: 2"),
        (b"a,b\n\xff,1\n", "is not readable as text"),
    ],
)
def test_a_table_that_is_none_says_why(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        csv_rows(tmp_path / "t.csv", ("a", "b"))


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvrows, "MAX_TEXT_BYTES", 1000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1\n" * 10_000))
    with pytest.raises(InputError, match="unpacks to more than 1,000 bytes"):
        csv_rows(tmp_path / "t.csv.gz", ("a",))
