"""The Triton kernels without a GPU: attention interpreted, all of them compiled. With one: test_cuda.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")
if find_spec("triton") is None:
    pytest.skip("no triton; it comes with torch's CUDA builds, or from PyPI", allow_module_level=True)

from tests.engine.programs import said


def test_attention_equals_its_twin_in_the_interpreter(repo_root: Path) -> None:
    assert said("tests.engine.attention_check", repo_root, TRITON_INTERPRET="1") == "7 shapes agree"


@pytest.mark.slow
def test_a_step_by_kernels_equals_one_by_twins_in_the_interpreter(repo_root: Path) -> None:
    assert said("tests.engine.step_check", repo_root, TRITON_INTERPRET="1") == "4 steps agree"


@pytest.mark.slow
def test_the_kernels_compile_to_machine_code_of_two_gpus(repo_root: Path, tmp_path: Path) -> None:
    environment = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    assert said("tests.engine.compile_check", repo_root, **environment) == "14 kernels compiled"
