"""What merging loses: known truths, the trained family, the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

import torch
from click.testing import CliRunner

from advisor.catalog.rounding import RoundingRow, rounding_rows
from advisor.errors import InputError
from advisor.spec.model import ModelShape
from calibration import tinymodels
from calibration.cli import main
from calibration.mergecheck import ROUND, merge_check
from calibration.randomweights import write_adapter, write_model
from tests.engine.models import save_adapter, save_model

SHAPE = ModelShape(
    name="nano", hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate_size=96,
    vocab_size=97, tie_word_embeddings=True,
)  # fmt: skip


def scaled_adapter(folder: Path, factor: float) -> Path:
    """An adapter whose delta is so many times larger than a random one's."""
    write_adapter(SHAPE, folder, 4, dtype="float32")
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    tensors = {n: t * (factor if "lora_B" in n else 1.0) for n, t in load_file(file).items()}
    save_file(tensors, file)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(SHAPE, tmp_path_factory.mktemp("merge") / "m", dtype="float32", max_positions=128)


def test_a_large_delta_survives_and_a_small_one_is_lost(base: Path, tmp_path: Path) -> None:
    large = merge_check(base, scaled_adapter(tmp_path / "large", 30.0), ("float32", "bfloat16"))
    small = merge_check(base, scaled_adapter(tmp_path / "small", 0.0003), ("float32", "bfloat16"))
    assert large.types[0].error < 1e-3  # float32 loses nothing
    assert large.types[1].error < 0.05
    assert large.types[1].kept == pytest.approx(1.0, abs=0.02)
    assert small.types[0].error < 1e-2
    assert small.types[1].error > 0.9  # below half a step of the weight: lost, or doubled, by chance
    assert small.types[1].unchanged > 0.95
    assert "serve unmerged" in small.advice
    assert "bfloat16: safe to merge" in large.advice


@pytest.mark.parametrize("row", [r for stored in ("bfloat16", "fp8", "int4") for r in rounding_rows(stored)])
def test_the_catalogs_table_is_what_rounding_does_to_gaussian_weights(row: RoundingRow) -> None:
    random = torch.Generator().manual_seed(1)
    weight = (0.02 * torch.randn(1024, 1024, generator=random)).bfloat16().float()
    delta = torch.randn(1024, 16, generator=random) @ torch.randn(16, 1024, generator=random)
    delta *= row.delta_over_weight * weight.norm() / delta.norm()
    left = ROUND[row.stored](weight + delta) - weight
    error = float((left - delta).norm() / delta.norm())
    assert error == pytest.approx(row.error, rel=0.25)


def test_on_a_base_stored_in_bf16_a_delta_below_half_a_step_is_lost_whole(tmp_path: Path) -> None:
    stored = write_model(SHAPE, tmp_path / "m", dtype="bfloat16", max_positions=128)
    tiny = merge_check(stored, scaled_adapter(tmp_path / "tiny", 3e-5), ("bfloat16",)).types[0]
    assert tiny.unchanged > 0.999  # the rest are weights that happen to be near zero, where steps are small
    assert tiny.kept < 0.01
    assert tiny.error == pytest.approx(1.0, abs=0.01)
    large = merge_check(stored, scaled_adapter(tmp_path / "large", 30.0), ("bfloat16",)).types[0]
    assert large.kept == pytest.approx(1.0, abs=0.001)


def test_coarser_types_lose_more(base: Path, tmp_path: Path) -> None:
    check = merge_check(base, scaled_adapter(tmp_path / "a", 2.0), ("float16", "bfloat16", "fp8", "int4"))
    errors = [one.error for one in check.types]
    assert errors == sorted(errors)
    assert len(check.modules[0]) == 14
    assert max(m.error for m in check.modules[2]) == check.types[2].worst.error


def test_a_zero_delta_changes_no_answer_and_a_real_one_does(base: Path, tmp_path: Path) -> None:
    prompts = [[1, 2, 3, 4, 5], [9, 8, 7]]
    zero = merge_check(base, scaled_adapter(tmp_path / "zero", 0.0), ("bfloat16",), prompts=prompts)
    parity = zero.types[0].parity
    assert parity is not None
    assert parity.mean_kl_nats == pytest.approx(0.0, abs=1e-6)
    assert parity.same_likeliest == 1.0
    strong = scaled_adapter(tmp_path / "real", 300.0)
    real = merge_check(base, strong, ("float32",), prompts=prompts).types[0].parity
    assert real is not None
    assert real.mean_kl_nats < 1e-3  # merged is unmerged
    assert real.base_kl_nats > 100 * real.mean_kl_nats + 1e-4  # and neither is the base


@pytest.mark.parametrize("kind", ["fp8", "int4"])
def test_storing_keeps_what_the_type_can_hold(kind: str) -> None:
    weight = torch.randn(6, 200)
    once = ROUND[kind](weight)
    assert torch.allclose(ROUND[kind](once), once, atol=1e-6)
    step = weight.abs().amax() / (7 if kind == "int4" else 14)
    assert float((once - weight).abs().max()) <= float(step) * 0.51


def test_unknown_types_and_foreign_adapters_are_one_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dtype is int3"):
        merge_check(base, tmp_path, ("int3",))  # type: ignore[arg-type]
    save_model(tmp_path / "other", "llama")
    foreign = save_adapter(tmp_path / "adapter", "llama")
    with pytest.raises(InputError, match="adapter_model"):
        merge_check(base, foreign, ("bfloat16",))


def test_the_command_on_the_trained_family() -> None:
    given = ["merge-check", "--adapter", "shout", "--prompts", "shout", "--count", "2"]
    given += ["--prompt-tokens", "32"]
    done = CliRunner().invoke(main, [*given, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    bf16, fp8, int4 = found["types"]
    assert bf16["error"] < 0.05 < fp8["error"] < int4["error"]
    assert bf16["parity"]["same_likeliest"] > 0.9
    assert bf16["parity"]["base_kl_nats"] > 0.5
    text = CliRunner().invoke(main, [*given, "--modules"]).output
    assert "bfloat16: safe to merge" in text
    assert text.count("q_proj") == 18
    bad = CliRunner().invoke(main, ["merge-check", "--adapter", "missing"])
    assert bad.exit_code == 2
    assert "missing" in bad.output


def test_tiny_folders_are_there() -> None:
    assert set(tinymodels.draft_dirs()) == {"stock", *tinymodels.STYLES}
