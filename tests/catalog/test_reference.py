from __future__ import annotations

from pathlib import Path

import pytest

from advisor.catalog.prices import price_of
from advisor.catalog.reference import reference
from advisor.catalog.tables import VARIABLE


def test_the_reference_page_is_fresh(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    page = (repo_root / "docs" / "reference" / "catalog.md").read_text()
    assert page == reference(), "run: python -m advisor.catalog.reference > docs/reference/catalog.md"


def test_the_price_list_of_the_page_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = reference().split("```csv\n")[1].split("```")[0]
    (tmp_path / "device_prices.csv").write_text(example)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert price_of("L4").usd_per_hour == 0.45
