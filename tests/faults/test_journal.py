"""The journal of a replay: whatever stands in the file, and wherever it is kept."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.errors import InputError
from advisor.replayed import OK
from calibration.replay.journal import Journal
from calibration.replay.rows import Row
from calibration.replay.whole import Asked, replay_trace
from tests.faults.load import written
from tests.faults.server import Misbehaving, misbehaving

MARK = {"trace": "t"}


def row_of(place: int, status: str = OK) -> Row:
    return Row(
        sent_s=float(place), output_tokens=2, prompt_tokens=6, status=status, chunk_s=[1.0, 2.0],
        chunk_tokens=[1, 1], again=place % 2,
    )  # fmt: skip


def journal_of(folder: Path, rows: dict[int, Row]) -> Path:
    path = folder / "r.journal"
    with Journal(path, MARK, resume=False) as journal:
        for place, row in rows.items():
            journal.add(place, row)
    return path


def test_what_was_answered_comes_back_as_it_was_and_what_failed_does_not(tmp_path: Path) -> None:
    rows = {3: row_of(3), 1: row_of(1, "timeout"), 2: row_of(2)}
    rows[1].sent_s = float("nan")
    path = journal_of(tmp_path, rows)
    with Journal(path, MARK, resume=True) as journal:
        assert journal.rows == {3: rows[3], 2: rows[2]}
        journal.add(1, row_of(1))
    assert set(Journal(path, MARK, resume=True).rows) == {1, 2, 3}


@pytest.mark.parametrize("seed", range(60))
def test_a_spoilt_journal_gives_true_rows_or_one_sentence(seed: int, tmp_path: Path) -> None:
    rows = {place: row_of(place) for place in range(5)}
    path = journal_of(tmp_path, rows)
    draws, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    begin = int(draws.integers(len(content)))
    if seed % 3 == 0:
        content[begin:] = b""
    elif seed % 3 == 1:
        content[begin : begin + 3] = draws.bytes(int(draws.integers(1, 6)))
    else:
        content[begin:begin] = b"\0" * int(draws.integers(1, 200))
    path.write_bytes(bytes(content))
    try:
        with Journal(path, MARK, resume=True) as journal:
            found = journal.rows
            journal.add(9, row_of(9))
    except InputError as error:
        assert "is of another replay" in str(error)  # noqa: PT017 - either is right
        return
    spoilt = [place for place, row in found.items() if row != rows.get(place)]
    assert len(spoilt) <= 1  # a changed digit is still a number
    again = Journal(path, MARK, resume=True).rows
    assert again == found | {9: row_of(9)}  # what is added after the repair is read


def test_a_line_that_lacks_only_its_end_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = journal_of(tmp_path, {0: row_of(0), 1: row_of(1)})
    path.write_bytes(path.read_bytes()[:-1])
    with Journal(path, MARK, resume=True) as journal:
        found = set(journal.rows)
        journal.add(2, row_of(2))
    assert found == {0}
    assert set(Journal(path, MARK, resume=True).rows) == {0, 2}


@pytest.mark.parametrize(
    "line",
    ["[]", "3", "null", '{"i": 1}', '{"i": "x", "status": "ok"}', "[" * 100_000, '{"status": "ok", "i": 0}'],
)
def test_a_line_of_another_kind_is_forgotten_and_asked_again(line: str, tmp_path: Path) -> None:
    path = journal_of(tmp_path, {0: row_of(0)})
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert Journal(path, MARK, resume=True).rows == {0: row_of(0)}
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_line_is_in_the_file_as_soon_as_its_request_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "r.journal"
    with Journal(path, MARK, resume=False) as journal:
        for place in range(70):
            journal.add(place, row_of(place))
            assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["i"] == place


def test_a_full_disk_costs_the_journal_and_not_the_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with misbehaving(Misbehaving()) as server:
        asked = Asked(written(tmp_path, 10), tmp_path / "r.parquet", url=server.url, model="m")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            result = replay_trace(asked, None)
    assert bool(result.done.all())
    assert any("could not be written (No space left on device)" in note for note in result.header.notes)


def test_a_journal_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        Journal(tmp_path / "no" / "r.journal", MARK, resume=False).__enter__()
