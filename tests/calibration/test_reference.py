"""The reference page of the profile file is fresh and explains every field."""

from __future__ import annotations

from pathlib import Path

from calibration import cli_reference
from calibration.reference import reference


def test_the_reference_page_is_fresh(repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "profile.md").read_text()
    assert page == reference(), "run: python -m calibration.reference > docs/reference/profile.md"


def test_every_field_is_explained() -> None:
    assert not [line for line in reference().splitlines() if line.startswith("| `") and line.endswith("|  |")]


def test_the_page_of_commands_is_fresh(repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "calibrate.md").read_text(encoding="utf-8")
    assert page == cli_reference.reference(), "run: python -m calibration.cli_reference"
