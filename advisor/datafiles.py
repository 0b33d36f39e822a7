"""Where the shipped data lies: profiles, scenarios, workloads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Return the folder of shipped data: `_data/` in an installed package, `data/` beside it in a checkout.

    Raises:
        FileNotFoundError: neither is there, so the installation is broken.
    """
    installed, checkout = _PACKAGE / "_data", _PACKAGE.parent / "data"
    if installed.is_dir():
        return installed
    if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    raise FileNotFoundError(f"no shipped data in {installed} or {checkout}; install lora-advisor anew")
