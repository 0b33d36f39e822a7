"""A blocked matrix is the same matrix: products, the way back, merges, the head of a tied model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation

from calibration.engine import matrix
from calibration.engine.matrix import blocked, like, linear, plain
from calibration.engine.merge import merge, unmerge
from calibration.engine.peft import describe_adapter, read_adapter
from calibration.engine.runner import Runner
from tests.engine.models import save_adapter, save_model

needs_blocking = pytest.mark.skipif(
    not blocked(torch.ones(1024, 1024)).is_mkldnn,
    reason="this build of torch or processor has no blocked products",
)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block the smallest matrix too."""
    for dtype in matrix.LEAST_ELEMENTS:
        monkeypatch.setitem(matrix.LEAST_ELEMENTS, dtype, 1)


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@needs_blocking
@pytest.mark.usefixtures("always")
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


@needs_blocking
def test_a_matrix_takes_the_layout_of_another_and_small_ones_stay_plain() -> None:
    weight = random(1024, 512)
    assert like(weight, weight) is weight
    assert like(weight, blocked(weight)).is_mkldnn
    assert not blocked(random(96, 96)).is_mkldnn


@needs_blocking
@pytest.mark.usefixtures("always")
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


@needs_blocking
def test_merging_into_blocked_matrices_equals_merging_into_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, adapter = save_model(tmp_path / "model"), save_adapter(tmp_path / "adapter")
    models = [Runner("cpu", 4).load_model(folder, "auto", 16)]
    for dtype in matrix.LEAST_ELEMENTS:
        monkeypatch.setitem(matrix.LEAST_ELEMENTS, dtype, 1)
    models.append(Runner("cpu", 4).load_model(folder, "auto", 16))
    architecture = models[0].architecture
    described = describe_adapter(adapter, architecture.shape)
    deltas = read_adapter(described, architecture.shape)
    base = [tensor.clone() for tensor in models[0].weights.tensors()]
    for model in models:
        merge(model.weights, architecture, deltas)
    assert models[1].weights.layers[0].matrices["qkv"].is_mkldnn
    merged = [model.weights.tensors() for model in models]
    assert all(torch.equal(a, b) for a, b in zip(*merged, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(base, merged[0], strict=True))
    for model in models:
        unmerge(model.weights, architecture, described.scales, folder)
        assert all(torch.equal(a, b) for a, b in zip(base, model.weights.tensors(), strict=True))
