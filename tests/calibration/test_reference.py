"""The reference page of the profile file is fresh and explains every field."""

from __future__ import annotations

from pathlib import Path

from calibration.reference import reference


def test_the_reference_page_is_fresh(repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "profile.md").read_text()
    assert page == reference(), "run: python -m calibration.reference > docs/reference/profile.md"


def test_every_field_is_explained() -> None:
    assert not [line for line in reference().splitlines() if line.startswith("| `") and line.endswith("|  |")]
