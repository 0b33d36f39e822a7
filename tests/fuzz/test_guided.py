"""The guided fuzzer on every target, briefly; and that it finds what it is there to find."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from tests.fuzz import guided
from tests.fuzz.forms import FORMS
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS

INPUTS = int(os.environ.get("LORA_ADVISOR_GUIDED", "400"))


@pytest.mark.slow
@pytest.mark.skipif(bool(guided.LACKS), reason=guided.LACKS)
def test_every_target_takes_what_the_guided_fuzzer_finds(tmp_path: Path) -> None:
    rows = list(guided.run(list(TARGETS), inputs=INPUTS, seed=0, seconds=0, folder=tmp_path))
    assert [row.target for row in rows] == list(TARGETS)
    for row in rows:
        assert not row.report.faults, "\n".join(fault["told"] for fault in row.report.faults)
        assert row.inputs >= INPUTS
        assert row.report.returned, "nothing good got through"
        assert row.edges > 5, "code without counters"


@pytest.mark.skipif(bool(guided.LACKS), reason=guided.LACKS)
def test_faults_are_found_told_once_and_kept(tmp_path: Path) -> None:
    """`tests.fuzz.broken` has a reader that breaks in three ways."""
    (row,) = guided.run(
        ["broken"], inputs=3000, seed=0, seconds=0, folder=tmp_path, targets="tests.fuzz.broken"
    )
    kinds = {fault["kind"].partition(" at ")[0] for fault in row.report.faults}
    assert kinds == {"ZeroDivisionError", "AssertionError", "slow", "memory"}
    assert len(row.report.faults) == len(kinds)
    for fault in row.report.faults:
        assert (row.folder / fault["content"]).read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_content_keeps_its_form_mostly_and_its_bounds_always(form: str) -> None:
    good = next(target.good()[0] for target in TARGETS.values() if target.form == form)
    change = Mutator(form, [good], lambda content, most: content[:most])  # type: ignore[arg-type]
    found = [change(good, 5000, seed) for seed in range(200)]
    assert found == [change(good, 5000, seed) for seed in range(200)]
    assert max(map(len, found)) <= 5000
    assert len(set(found)) > (100 if form != "bytes" else 1)
    if form == "json":
        assert sum(map(_is_json, found)) > 100


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def test_the_page_has_a_row_a_target() -> None:
    page = guided.PAGE.read_text(encoding="utf-8")
    told = page.partition("<!-- guided: begin -->")[2].partition("<!-- guided: end -->")[0].splitlines()
    rows = [row.removeprefix("| ").split(" | ")[0] for row in told if row.startswith("| ")]
    assert rows[1:] == list(TARGETS)
