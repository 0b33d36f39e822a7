"""The page of claims, by hand and against a golden file. Renew: `python -m tests.claims.test_page`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from advisor.errors import InputError
from calibration.claims.page import (
    Simulated,
    SimulatedClaim,
    load_simulated,
    save_simulated,
    table,
    text,
    write_page,
)
from calibration.claims.result import ClaimResult, row
from calibration.claims.verdict import above, outcome

GOLDEN = Path(__file__).parent / "golden" / "page.md"


def result() -> ClaimResult:
    rows = [
        row("15% load", "TTFT, base", 7.5, [8.0, 9.0, 7.0], unit="ms", x=1.0),
        row("15% load", "TTFT ratio", 1.5, [1.4, 1.6, 1.5], x=1.0, judged=True),
        row("40% load", "TTFT, base", 8.25, [8.0, 9.0, 8.5], unit="ms", x=20.0),
        row("40% load", "TTFT ratio", 0.9, [1.0, 1.2, 0.95], x=20.0, judged=True),
        row("8 slots", "memory", 5.0, [4.96], unit="MiB"),
    ]
    found = outcome(
        rows,
        lambda _row: above(1.0),
        why="1.5 times.",
        where_it_stops="At 40% load.",
        x_title="requests a second",
    )
    made = {"model": "small", "device": "a CPU", "torch": "2.0", "repeats": "3"}
    return ClaimResult(
        claim="C1", statement="LoRA is slower", outcome=found, created=datetime(2026, 1, 2, tzinfo=UTC),
        producer="lora-advisor", made_from=made,
    )  # fmt: skip


def half() -> Simulated:
    rows = [("C1", "LoRA is slower"), ("C2", "A cold adapter pays a load")]
    claims = [
        SimulatedClaim(
            claim=c, statement=s, verdict="True.", where_it_stops="Nowhere.", tables="| a |\n|---|\n| 1 |"
        )
        for c, s in rows
    ]
    return Simulated(introduction="Llama on a GPU.", claims=tuple(claims))


def page() -> str:
    return text({"C1": result()}, half(), "calibrate claims --out x", "claims", {"C2": "no time."})


def test_the_page_is_the_golden_one() -> None:
    assert page() == GOLDEN.read_text(encoding="utf-8")


def test_settings_with_other_figures_get_a_table_of_their_own() -> None:
    assert table(result().outcome.rows[2:]) == (
        "| setting | TTFT, base, ms | TTFT ratio |\n|---|---:|---:|\n"
        "| 40% load | 8.50 (8.00 to 9.00) / 8.25 | 1.00 (0.950 to 1.20) / 0.900 |\n\n"
        "| setting | memory, MiB |\n|---|---:|\n| 8 slots | 4.96 / 5.00 |\n"
    )


def test_a_page_is_written_with_its_pictures_and_keeps_the_simulated_half(tmp_path: Path) -> None:
    place = tmp_path / "claims.md"
    save_simulated(half(), place)
    assert load_simulated(place) == half()
    write_page({"C1": result()}, place, "calibrate claims --out x", {"C2": "no time."})
    assert place.read_text(encoding="utf-8") == page()
    picture = (tmp_path / "claims" / "C1.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "TTFT ratio" in picture
    assert "requests a second" in picture


def test_either_half_may_be_missing(tmp_path: Path) -> None:
    assert load_simulated(tmp_path / "claims.md") is None
    alone = text({"C1": result()}, None, "c", "claims", {})
    assert "H100 profile." not in alone
    assert "Live engine here" not in text({}, half(), "c", "claims", {}).replace("| live engine here |", "")


def test_a_broken_half_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "simulated.json").write_text('{"schema_version": 1, "claims": []}')
    with pytest.raises(InputError, match=r"simulated.json: introduction is missing"):
        load_simulated(tmp_path / "claims.md")


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(page(), encoding="utf-8")
