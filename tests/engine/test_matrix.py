"""A blocked matrix is the same matrix: products, the way back, merges, the head of a tied model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation

from calibration.engine.matrix import blocked, like, linear, plain
from calibration.engine.runner import Runner
from tests.engine.models import save_model

needs_blocking = pytest.mark.skipif(
    not blocked(torch.ones(8, 8)).is_mkldnn, reason="this build of torch or processor has no blocked products"
)


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@needs_blocking
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (97, 32), (512, 192)])
def test_blocking_loses_no_bit_and_multiplies_alike(dtype: torch.dtype, size: tuple[int, int]) -> None:
    weight, bias = random(*size).to(dtype), random(size[0], seed=1).to(dtype)
    found = blocked(weight)
    if dtype is torch.float32:
        assert found.is_mkldnn
    assert torch.equal(plain(found), weight)
    assert plain(weight) is weight
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    for rows in (0, 1, 2, 17, 130):
        x = random(rows, 2 * size[1], seed=2).to(dtype)[:, : size[1]]  # not contiguous
        for one in (None, bias):
            got, want = linear(x, found, one), F.linear(x, weight, one)
            torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


def test_a_matrix_takes_the_layout_of_another() -> None:
    weight = random(8, 8)
    assert like(weight, weight) is weight
    assert like(weight, blocked(weight)).is_mkldnn == blocked(weight).is_mkldnn


@needs_blocking
def test_a_loaded_model_is_blocked_but_for_its_embedding_and_steps_of_fixed_shape(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tied", kind="llama-tied-biased")
    free, fixed = (
        Runner("cpu", 4, graphs).load_model(folder, "auto", 16).weights for graphs in ("off", "static")
    )
    assert all(matrix.is_mkldnn for layer in free.layers for matrix in layer.matrices.values())
    assert free.head.is_mkldnn
    assert not free.embedding.is_mkldnn
    assert torch.equal(plain(free.head), free.embedding)
    assert fixed.head is fixed.embedding
    assert not any(matrix.is_mkldnn for layer in fixed.layers for matrix in layer.matrices.values())
