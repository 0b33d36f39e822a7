"""Profiles from a datasheet: shares against laws put in, terms against sums by hand, method against GPUs."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog.hardware import device
from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.profile import ModelTerms, Profile, load_profile, shipped_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin, WeightsDtype
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from calibration.cli import main
from calibration.importers.datasheet import MEASURED, datasheet_profile
from calibration.importers.dense import elementwise_s
from calibration.importers.shares import (
    TOKENS,
    at_intensity,
    ceilings,
    layer_ceilings,
    pair_ceiling_s,
    shares_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {
    "one": Batch(1, 1024, outputs=1),
    "many": Batch(32, 32 * 1024, outputs=32),
    "prompt": Batch(0, 0, ((2048, 0),), 1),
}


@pytest.fixture(scope="module")
def l4() -> Profile:
    return datasheet_profile("L4", created=NOW, producer="test", models=("Llama-3.1-8B", "Llama-3.1-8B-FP8"))


def _terms(profile: Profile, name: str = "Llama-3.1-8B", degree: int = 1) -> ModelTerms:
    return next(t for t in profile.models if t.model.name == name and t.tensor_parallel == degree)


def _at_a_share(profile: Profile, share: float) -> Profile:
    """The profile with products, prompt attention and decode attention at this share of their ceilings."""
    terms, gpu = _terms(profile), profile.device
    tokens = np.asarray(TOKENS, dtype=np.float64)
    memory, compute = layer_ceilings(gpu, terms.model, 1, tokens)
    layers = terms.model.layers
    dense = layers * (np.maximum(memory, compute) / share + 5 * 2.4e-6)
    axes = terms.attn_prefill
    new, context = np.meshgrid(axes.new_tokens, axes.context_tokens, indexing="ij")
    prompt = layers * pair_ceiling_s(gpu, terms.model, 1, new, context) / share
    count = len(terms.attn_decode.sequences)
    slope = layers * 4.0 * 8 * 128 / gpu.bandwidth_bytes_per_s / share
    changed = terms.model_copy(
        update={
            "dense": terms.dense.model_copy(update={"x": tuple(tokens), "y_s": tuple(dense)}),
            "attn_prefill": axes.model_copy(update={"seconds": tuple(tuple(row) for row in prompt)}),
            "attn_decode": terms.attn_decode.model_copy(
                update={"per_context_token_s": (slope,) * count, "fixed_s": (layers * 7e-6,) * count}
            ),
        }
    )
    fp8 = _terms(profile, "Llama-3.1-8B-FP8")
    wide = _terms(profile, degree=2)
    return profile.model_copy(update={"models": (changed, fp8, wide)})


def test_a_share_put_in_comes_out() -> None:
    h100, l40s = shipped_profile("h100_sxm-vllm"), shipped_profile("l40s-vllm")
    shares = shares_of([_only_one(_at_a_share(one, 0.5)) for one in (h100, l40s)])
    assert shares.dense["bfloat16"] == pytest.approx(0.5, rel=0.02)
    assert shares.spread["dense bfloat16"] == pytest.approx((1.0, 1.0), rel=0.02)
    assert shares.prefill == pytest.approx(0.5)
    assert shares.decode == pytest.approx(0.5)
    assert shares.decode_fixed_s == pytest.approx(7e-6)


def _only_one(profile: Profile) -> Profile:
    """Medians over models would mix what was put in with what was there: keep it, and copies for the rest."""
    put_in, fp8, wide = profile.models
    same = {"attn_prefill": put_in.attn_prefill, "attn_decode": put_in.attn_decode}
    fp8 = fp8.model_copy(update=same)
    wide = put_in.model_copy(update={"all_reduce": wide.all_reduce, "tensor_parallel": 1})
    return profile.model_copy(update={"models": (put_in, fp8, wide)})


def test_ceilings_are_bytes_and_operations() -> None:
    """An H100: 4096 x 4096 in bfloat16 is 33.5 MB, 10 us at 3.35 TB/s; 1024 rows are 34 GFLOP, 35 us."""
    gpu = device("H100-80-SXM")
    memory, compute = ceilings(gpu, WeightsDtype.BFLOAT16, np.asarray([1.0, 1024.0]), 4096, 4096)
    assert memory[0] == pytest.approx(2 * (4096 * 4096 + 2 * 4096) / 3.35e12)
    assert compute[1] == pytest.approx(2 * 1024 * 4096 * 4096 / 989e12)
    half, _ = ceilings(gpu, WeightsDtype.FP8, np.asarray([1.0]), 4096, 4096)
    assert half[0] == pytest.approx(0.5 * memory[0], rel=0.01)
    assert at_intensity(np.linspace(0.1, 0.6, 14), np.asarray([1.0]), np.asarray([1e9]))[0] == pytest.approx(
        0.6
    )


def test_the_dense_term_is_ceiling_over_share(l4: Profile) -> None:
    terms, gpu = _terms(l4), device("L4")
    measured = [shipped_profile(name) for name in MEASURED]
    shares = shares_of(measured).dense["bfloat16"]
    memory, compute = layer_ceilings(gpu, terms.model, 1, np.asarray([1.0]))
    share = at_intensity(shares, memory, compute)
    small = elementwise_s(terms.model, 1, np.asarray([1.0]), gpu.bandwidth_bytes_per_s)
    assert terms.dense.y_s[0] == pytest.approx(float((32 * memory / share + small)[0]), rel=1e-4)
    assert 32 * memory[0] == pytest.approx(2 * terms.model.layer_parameters / 300e9, rel=0.01)


def test_every_term_says_datasheet_and_is_wide(l4: Profile) -> None:
    found = [l4.host, l4.frontend, l4.memory, l4.startup, *l4.loads, *l4.gemm]
    for terms in l4.models:
        found += [terms.dense, terms.head, terms.attn_prefill, terms.attn_decode, *terms.drafts]
        found += [term for term in (terms.lora, terms.all_reduce) if term is not None]
    assert {term.origin for term in found} == {Origin.DATASHEET}
    assert all(term.interval[0] <= 0.85 and term.interval[1] >= 1.15 for term in found)
    assert l4.method == "datasheet"
    assert {t.tensor_parallel for t in l4.models} == {1, 2, 4, 8}


def test_it_is_a_profile_that_steps_rise_in(l4: Profile) -> None:
    limits = EngineLimits(
        max_num_seqs=256, max_num_batched_tokens=8192, max_loras=8, max_cpu_loras=8, max_lora_rank=16
    )
    clock = ProfileClock(l4, _terms(l4), limits)
    steps = [clock.parts(Batch(s, s * 512, outputs=s, adapters=4)).total for s in (8, 32, 64, 256)]
    assert all(after > before for before, after in pairwise(steps))
    assert clock.parts(Batch(8, 4096, outputs=8, adapters=4)).lora > 0


def test_a_device_without_fp8_gets_no_fp8_model() -> None:
    profile = datasheet_profile("A10G", created=NOW, producer="test")
    assert not [t for t in profile.models if t.model.weights_dtype is WeightsDtype.FP8]
    assert [grid.weights_dtype for grid in profile.gemm] == ["bfloat16"]
    assert profile.name == "a10g-vllm-datasheet"


@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_gpu_is_met_from_the_shares_of_the_others(name: str) -> None:
    """Llama-3.1-8B on one GPU: what docs/explanation/profiles.md says, within 40 %."""
    measured = shipped_profile(name)
    guess = datasheet_profile(
        measured.device.name, created=NOW, producer="test", models=("Llama-3.1-8B",), leave_out=name
    )
    limits = EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048)
    ours, theirs = (ProfileClock(one, _terms(one), limits) for one in (guess, measured))
    for batch in STEPS.values():
        assert 0.7 < ours.parts(batch).total / theirs.parts(batch).total < 1.4


def test_a_model_that_no_measured_profile_holds_is_predicted(l4: Profile) -> None:
    other = datasheet_profile("L4", created=NOW, producer="test", models=("Llama-2-7B",))
    terms, like = _terms(other, "Llama-2-7B"), _terms(l4)
    ratio = terms.model.layer_parameters / like.model.layer_parameters
    assert terms.dense.y_s[0] / like.dense.y_s[0] == pytest.approx(ratio, rel=0.05)
    ours, theirs = terms.attn_decode.per_context_token_s[0], like.attn_decode.per_context_token_s[0]
    assert ours == pytest.approx(4 * theirs, rel=1e-3)  # 32 KV heads for 8
    assert terms.lora is not None
    assert terms.lora.per_slot_s > 0


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean L4"):
        datasheet_profile("L44", created=NOW, producer="test")
    with pytest.raises(InputError, match=r"Lama-3.1-8B.* did you mean"):
        datasheet_profile("L4", created=NOW, producer="test", models=("Lama-3.1-8B",))
    with pytest.raises(InputError, match="T4: none of the models fits it"):
        datasheet_profile("T4", created=NOW, producer="test", models=("Llama-3.3-70B",))
    out = tmp_path / "mine.json"
    call = ["datasheet", "L4", "--models", "Llama-3.1-8B", "--out", str(out)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert load_profile(out).device == device("L4")
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2
    assert "Add --force" in again.output
    assert model("Llama-3.1-8B") == _terms(load_profile(out)).model
