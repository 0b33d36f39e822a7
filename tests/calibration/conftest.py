"""Fixtures of the calibration tests: synthetic operator tables, and the real package where it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.importers.tables import Tables, find_tables
from tests.calibration.synthetic import write_tables


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `systems` folder with one GPU whose kernels follow known laws."""
    return write_tables(tmp_path_factory.mktemp("systems"))


@pytest.fixture(scope="session")
def tables(systems: Path) -> Tables:
    """Its tables."""
    return find_tables("h100_sxm", "vllm", folder=systems)


@pytest.fixture(scope="session")
def h100() -> Tables:
    """The real H100 tables."""
    pytest.importorskip("aiconfigurator_core", reason="no aiconfigurator-core; install the extra 'import'")
    return find_tables("h100_sxm", "vllm", "0.24.0")
