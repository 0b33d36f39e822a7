"""Programs of this folder in a process of their own: Triton decides at first import if it interprets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_OLD_INTERPRETER = "only 0-dimensional arrays can be converted"  # up to triton 3.6, with numpy 2.4 and later


def said(module: str, root: Path, **environment: str) -> str:
    """What the program prints; skips where triton's interpreter itself fails with this numpy."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and _OLD_INTERPRETER in done.stderr:
        pytest.skip("this triton's interpreter does not work with this numpy")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
