"""Samples: nothing is lost, nothing is mixed up, damage is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from advisor.errors import InputError
from calibration.microbench.samples import Samples

FIRST = '{"fingerprint": {"seed": 0}}\n'
GOOD = '{"op": "dense", "tokens": 1, "s": 0.5}\n'


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    Samples(path, {"seed": 0}).add("dense", {"tokens": 1}, 0.5)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"exists; add --resume to go on with it, --force to start again"):
        Samples(path, {"seed": 0})
    assert path.read_bytes() == before
    Samples(path, {"seed": 0}, force=True)
    assert path.read_text(encoding="utf-8") == FIRST


def test_reading_leaves_the_file_alone_even_with_a_line_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(FIRST + GOOD + '{"op": "de', encoding="utf-8")
    path.chmod(0o444)
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    samples = Samples.read(path)
    samples.add("dense", {"tokens": 1}, 0.7)
    assert samples.count("dense", {"tokens": 1}) == 2
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, stamp)


def test_going_on_drops_the_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(FIRST + GOOD + '{"op": "de', encoding="utf-8")
    Samples(path, {"seed": 0}, resume=True).add("dense", {"tokens": 1}, 0.7)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["s"] for line in lines[1:]] == [0.5, 0.7]


def test_a_last_line_without_its_end_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(FIRST + GOOD.rstrip("\n"), encoding="utf-8")
    Samples(path, {"seed": 0}, resume=True).add("dense", {"tokens": 1}, 0.7)
    assert Samples.read(path).count("dense", {"tokens": 1}) == 2


def test_other_samples_are_refused_by_the_field_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    Samples(path, {"seed": 0, "threads": 1})
    with pytest.raises(InputError, match="threads is 1; allowed with --resume: 2"):
        Samples(path, {"seed": 0, "threads": 2}, resume=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line has no fingerprint"),
        ("[1]\n", "first line has no fingerprint"),
        ('{"fingerp\n', "line 1 is no JSON"),
        (FIRST + "{oops\n" + GOOD, "line 2 is no JSON"),
        (FIRST + '{"op": "dense", "tokens": 1}\n', "line 2 is"),
        (FIRST + '{"op": "dense", "tokens": "x", "s": 1}\n', "line 2 is"),
        (FIRST + '{"op": "dense", "tokens": 1, "s": NaN}\n', "line 2 is"),
        (FIRST + '{"run": "S1", "steps": [{"s": 1}]}\n', "line 2 is"),
        (FIRST + "7\n", "line 2 is 7"),
    ],
)
def test_damage_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text, encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(InputError, match=said):
            Samples(path, {"seed": 0}, resume=True) if resume else Samples.read(path)
    assert path.read_text(encoding="utf-8") == text
