"""What every test shares: hypothesis profiles, skips that say what is missing, the public data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "LORA_ADVISOR_DATA"

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def _data_folder() -> Path:
    return Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")


def _without_data() -> str:
    folder = _data_folder()
    return "" if folder.is_dir() else f"no folder {folder}; set {DATA_VARIABLE} to the public data"


def _without_browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = any(shutil.which(name) for name in names)
    return "" if found else "no chromium on PATH; install the package chromium"


def _without_gpu() -> str:
    try:
        import torch
    except ImportError:
        return "no torch; install the extra 'calibrate'"
    return "" if torch.cuda.is_available() else "torch finds no CUDA device"


_LACKS: dict[str, Callable[[], str]] = {
    "browser": _without_browser,
    "data": _without_data,
    "gpu": _without_gpu,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test where what it needs is missing, and say what."""
    for marker, lacks in _LACKS.items():
        if item.get_closest_marker(marker) and (reason := lacks()):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public traces and measurements; skips where there is none."""
    reason = _without_data()
    if reason:
        pytest.skip(reason)
    return _data_folder()
