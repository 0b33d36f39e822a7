"""Blocks of a page, the published step fit, the claims' bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from benchmarks._claims_bench import Bench, at_once, p, poisson
from benchmarks._claims_one import cold_start, prompts
from benchmarks._page import replace_block, table
from benchmarks.claims import CLAIMS
from benchmarks.validate_h100_fit import compare, published_s


def test_a_block_is_replaced_and_the_words_around_it_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter\n")
    replace_block(page, "x", "new\n")
    assert page.read_text() == "before\n<!-- x: begin -->\nnew\n<!-- x: end -->\nafter\n"


@pytest.mark.parametrize("content", ["", "<!-- x: begin -->", "<!-- x: end --><!-- x: begin -->"])
def test_a_page_without_markers_is_one_sentence(tmp_path: Path, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(InputError, match=r"page.md: lacks the markers"):
        replace_block(page, "x", "new")
    with pytest.raises(InputError, match=r"missing.md: lacks the markers"):
        replace_block(tmp_path / "missing.md", "x", "new")


def test_a_table_by_hand() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---:|\n| 1 | 2 |\n"


def test_the_published_fit_by_hand() -> None:
    assert published_s(100, 10_000) == pytest.approx(5.886e-3 + 2.1e-3 + 0.393e-3 + 1.21e-3)


def test_the_shipped_h100_is_near_the_published_fit() -> None:
    text = compare(Bench().profile)
    assert text.count("\n| ") == 9
    largest = float(text.split("largest ")[1].split(" %")[0])
    assert largest < 15


def test_the_bench_has_even_adapters_and_counts_what_never_came_as_late() -> None:
    trace = poisson(50.0, 4)
    assert len(trace) == 15_000
    assert np.bincount(trace.adapter) == pytest.approx(3750, rel=0.06)
    assert at_once(10, 2).arrival_s.tolist() == [0.0] * 10
    assert p(np.asarray([1.0, np.nan]), 99) == np.inf


def test_cold_costs_most_and_a_slot_nothing() -> None:
    for line in cold_start(Bench()).splitlines()[2:]:
        cold, cpu, slot = (float(cell) for cell in line.split("|")[2:5])
        assert cold > cpu > slot


def test_prompts_cost_more_with_more_slots() -> None:
    rows = {line.split("|")[1].strip(): line for line in prompts(Bench()).splitlines()[2:]}
    few, many = (float(rows[key].split("|")[4].strip(" %+")) for key in ("16, 8", "16, 128"))
    assert 10 < few < 30 < many


def test_the_page_of_claims_has_every_claim(repo_root: Path) -> None:
    page = (repo_root / "docs" / "claims.md").read_text()
    for claim in CLAIMS:
        assert f"| {claim.number} | {claim.words} |" in page
        assert f"## {claim.number}: {claim.words}" in page
    assert [claim.number for claim in CLAIMS] == [f"C{number}" for number in range(1, 10)]
