"""Uploads: named by their content, bounded, and never outside their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.web import uploads

CSV = b"arrival_s,prompt_tokens,output_tokens\n0,10,10\n"


def test_the_same_content_has_the_same_path_and_another_has_another(tmp_path: Path) -> None:
    first, again, other = (uploads.keep(c, "a.csv", tmp_path).path for c in (CSV, CSV, CSV + b"1,2,3\n"))
    assert first == again != other
    assert (tmp_path / first).read_bytes() == CSV


@pytest.mark.parametrize(
    "name",
    ["../../etc/x.csv", "/etc/passwd.csv", "..csv", "a/../../b.csv", "x\x00y.csv", "<b>ü</b>.csv", "....csv"],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    path = (tmp_path / uploads.keep(CSV, name, tmp_path).path).resolve()
    assert path.parent == tmp_path / "uploads"
    assert path.suffix == ".csv"
    assert path.name.isascii()


@pytest.mark.parametrize(
    ("name", "content"), [("a.exe", CSV), ("csv", CSV), ("a.csv", b""), ("a.csv.sh", CSV)]
)
def test_what_is_no_trace_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InputError, match="upload"):
        uploads.keep(content, name, tmp_path)
    assert not (tmp_path / "uploads").exists()


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(uploads.VARIABLE, "1")
    with pytest.raises(InputError, match="at most 1,048,576"):
        uploads.keep(CSV * 40_000, "a.csv", tmp_path)


def test_the_oldest_uploads_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "KEPT_BYTES", 100)
    paths = []
    for number in range(4):
        path = tmp_path / uploads.keep(CSV + bytes(str(number), "ascii"), "a.csv", tmp_path).path
        os.utime(path, ns=(number, number))
        paths.append(path)
    assert [path.exists() for path in paths] == [False, False, True, True]
