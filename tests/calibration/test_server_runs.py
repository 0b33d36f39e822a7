"""The public multi-LoRA server: known coefficients come back; the real files give a server that fits them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.memory import Room, SlotSpec, plan_memory
from advisor.spec.model import ALL_LINEAR
from calibration.importers.server_files import read_capacity, read_runs
from calibration.importers.server_lora import distinct, fit_lora
from calibration.importers.server_profile import (
    DEVICE,
    MEMORY_SHARE,
    MODELS,
    ServerFits,
    fit_servers,
    server_profile,
)
from calibration.importers.server_step import fit_base
from tests.calibration import synthetic as truth

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def servers(shared_data: Path) -> dict[str, ServerFits]:
    return fit_servers(shared_data / "e2e")


def test_known_coefficients_come_back(tmp_path: Path) -> None:
    truth.write_server_runs(tmp_path)
    runs = read_runs(tmp_path, "m")
    base = fit_base(runs, kv_capacity_tokens=1e6)
    assert base.per_context_token_s == pytest.approx(truth.KV_S, rel=1e-3)
    assert base.prompt_token_s == pytest.approx(truth.TOKEN_S, rel=0.02)
    assert base.per_chunk_s < 2e-5
    assert base.seconds(1.0, 0.0) == pytest.approx(truth.BASE_S + truth.TOKEN_S, rel=0.01)
    lora = fit_lora(runs, base)
    assert lora.per_slot_s == pytest.approx(truth.SLOT_S, rel=0.05)
    assert lora.per_slot_token_s == pytest.approx(truth.SLOT_TOKEN_S, rel=0.05)
    assert lora.per_slot_prompt_token_s == pytest.approx(truth.SLOT_PROMPT_S, rel=0.2)
    assert lora.per_adapter_s == pytest.approx(truth.ADAPTER_S, rel=0.02)
    assert np.abs(lora.step_residuals).max() < 0.01


def test_expected_distinct_adapters_by_hand() -> None:
    assert distinct(1, 50.0) == pytest.approx(1.0)
    assert distinct(2, 2.0) == pytest.approx(1.5)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"model,case\nm,x\n"), gzip.compress(b"\xff\xfe")],
    ids=["empty", "no gzip", "lacks columns", "no text"],  # a packed file holds the time: no name for a test
)
def test_bad_run_files_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bsc_vllm_estimator_runs.csv.gz").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_runs(tmp_path, "m")
    assert len(error.value.sentences) == 1


def test_a_model_without_runs_is_refused(tmp_path: Path) -> None:
    truth.write_server_runs(tmp_path)
    with pytest.raises(InputError, match="has no runs of other"):
        read_runs(tmp_path, "other")


@pytest.mark.data
@pytest.mark.parametrize("ending", MODELS)
def test_steps_of_the_calibration_runs_are_met(servers: dict[str, ServerFits], ending: str) -> None:
    """The largest misses are slots of rank 32: 1.4 times as dear as rank 16, which this fit does not know."""
    fits = servers[ending]
    off = np.abs(fits.lora.step_residuals)
    assert fits.base.fit.p90_absolute < 0.02
    assert np.median(off) < 0.015
    assert np.quantile(off, 0.9) < 0.06
    assert off.max() < 0.12


@pytest.mark.data
def test_groups_of_both_models_agree_when_scaled_by_layers(servers: dict[str, ServerFits]) -> None:
    """What justifies carrying Llama-3.1-8B's groups to other models in proportion to their layers."""
    llama, qwen = servers["llama-3.1-8b"], servers["qwen-2.5-7b"]
    layers = qwen.shape.layers / llama.shape.layers
    assert qwen.lora.per_slot_s == pytest.approx(llama.lora.per_slot_s * layers, rel=0.1)
    assert qwen.lora.per_adapter_s == pytest.approx(llama.lora.per_adapter_s * layers, rel=0.15)


@pytest.mark.data
@pytest.mark.parametrize("ending", MODELS)
def test_kv_capacity_follows_from_the_memory_term(
    servers: dict[str, ServerFits], shared_data: Path, ending: str
) -> None:
    fits = servers[ending]
    profile = server_profile(ending, fits, created=NOW, producer="test")
    errors = []
    for slots, rank, tokens in read_capacity(shared_data / "e2e", MODELS[ending][0]):
        plan = plan_memory(
            fits.shape,
            profile.memory,
            Room(DEVICE.memory_bytes, MEMORY_SHARE, tensor_parallel=1, block_tokens=16),
            slots=SlotSpec(slots, rank, ALL_LINEAR),
        )
        errors.append(plan.kv_tokens / tokens - 1)
    assert len(errors) >= 28
    assert np.abs(errors).max() < 0.06
    assert np.median(np.abs(errors)) < 0.02


@pytest.mark.data
def test_the_profile_repeats_measured_steps(servers: dict[str, ServerFits]) -> None:
    """Llama-3.1-8B: 220 sequences of one adapter, 300 slots; 64 sequences and 100 slots at two ranks.

    Many adapters at 220 sequences come out a quarter long: they are fitted to live traffic, where they cost
    more than in such a batch of decodes.
    """
    from advisor.spec.engine import EngineLimits
    from advisor.steptime.batch import Batch
    from advisor.steptime.clock import ProfileClock

    profile = server_profile("llama-3.1-8b", servers["llama-3.1-8b"], created=NOW, producer="test")

    def step_ms(sequences: int, adapters: int, slots: int, rank: int) -> float:
        limits = EngineLimits(
            max_num_seqs=256,
            max_num_batched_tokens=2048,
            max_loras=slots,
            max_cpu_loras=slots,
            max_lora_rank=rank,
        )
        clock = ProfileClock(profile, profile.models[0], limits)
        held = round(distinct(adapters, sequences))
        batch = Batch(sequences, sequences * 55, outputs=sequences, adapters=held)
        return 1e3 * sum(clock.parts(batch))

    assert step_ms(220, 1, 300, 8) == pytest.approx(35.40, rel=0.02)
    assert step_ms(64, 1, 100, 16) == pytest.approx(18.77, rel=0.06)
    assert step_ms(64, 96, 100, 16) == pytest.approx(36.15, rel=0.08)
    assert step_ms(64, 96, 100, 32) == pytest.approx(46.16, rel=0.08)
    assert 1.2 < step_ms(220, 128, 300, 8) / 69.94 < 1.35
