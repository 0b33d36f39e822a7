"""The Triton kernels: interpreted on any machine that has triton, compiled on a GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")
if find_spec("triton") is None:
    pytest.skip("no triton; it comes with torch's CUDA builds, or from PyPI", allow_module_level=True)

import torch

from tests.engine.lora_check import NAMES, SHAPES, check
from tests.engine.programs import said


def test_the_kernels_equal_their_twin_in_the_interpreter(repo_root: Path) -> None:
    assert said("tests.engine.lora_check", repo_root, TRITON_INTERPRET="1") == "4 shapes agree"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_kernels_equal_their_twin_on_a_gpu(
    shape: tuple[int, list[int], int, int], dtype: torch.dtype
) -> None:
    check(shape, dtype, "cuda")
