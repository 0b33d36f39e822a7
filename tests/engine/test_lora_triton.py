"""The Triton kernels: interpreted on any machine that has triton, compiled on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")
if find_spec("triton") is None:
    pytest.skip("no triton; it comes with torch's CUDA builds, or from PyPI", allow_module_level=True)

import torch

from tests.engine.lora_check import NAMES, SHAPES, check


def test_the_kernels_equal_their_twin_in_the_interpreter(repo_root: Path) -> None:
    """In a process of its own: Triton decides at its first import whether it interprets."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.lora_check"],
        cwd=repo_root,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "4 shapes agree", done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_kernels_equal_their_twin_on_a_gpu(
    shape: tuple[int, list[int], int, int], dtype: torch.dtype
) -> None:
    check(shape, dtype, "cuda")
