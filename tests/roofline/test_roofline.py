"""The engine's limit: steps counted by hand, rates that are rates, a rig that is in the state it says."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

import torch

from advisor.spec.model import ModelShape
from advisor.steptime.batch import Batch
from calibration.engine.options import EngineOptions
from calibration.randomweights import write_model
from calibration.roofline.cases import CASES, Case
from calibration.roofline.clock import Clock
from calibration.roofline.measure import Asked, measure
from calibration.roofline.parts import PARTS
from calibration.roofline.rates import Device, Rates, last_cache_bytes
from calibration.roofline.rig import Rig
from calibration.roofline.work import work_of

SHAPE = ModelShape(
    name="nano", hidden_size=32, layers=2, heads=4, kv_heads=2, head_dim=8, intermediate_size=48,
    vocab_size=96, tie_word_embeddings=True,
)  # fmt: skip
LAYER = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 48)  # q, k and v, o, gate and up and down; two layers
TINY = (
    Case(1, 8, decode=False),
    Case(2, 8, decode=True),
    Case(2, 8, True, 2, 4),
    Case(2, 8, True, draft_length=3),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_model(SHAPE, tmp_path_factory.mktemp("roof") / "nano", dtype="float32", max_positions=512)


def test_a_decode_step_by_hand() -> None:
    """Three sequences on 30 tokens together, two adapters of rank 4 among them, two bytes an element."""
    work = work_of(SHAPE, Batch(3, 30, (), 3, 0, 2), rank=4, tuned_tokens=3, element_bytes=2)
    elements = 2 * 4 * (64 + 48 + 48 + 64 + 3 * 80)  # layers · r · (d_in + d_out) of q, k, v, o and the MLP
    pairs = 30 + 3 * 0.5
    assert work.flops == 2 * 3 * (LAYER + 96 * 32) + 4 * 2 * 4 * 8 * pairs + 2 * 3 * elements
    assert work.weight_bytes == 2 * (LAYER + 96 * 32 + 3 * 32)
    assert work.kv_bytes == 2 * (2 * 2 * 2 * 8) * (30 + 3)
    assert work.lora_bytes == 2 * 2 * elements


def test_a_prompt_reads_no_context_and_verifying_reads_it_once() -> None:
    prompt = work_of(SHAPE, Batch(0, 0, ((10, 0),), 1), rank=0, tuned_tokens=0, element_bytes=4)
    assert prompt.flops == 2 * (10 * LAYER + 96 * 32) + 4 * 2 * 32 * 50
    assert prompt.kv_bytes == 4 * 64 * 10
    verified = work_of(SHAPE, Batch(1, 20, (), 4, 3), rank=0, tuned_tokens=0, element_bytes=4)
    assert verified.kv_bytes == 4 * 64 * (20 + 4)
    assert verified.weight_bytes == 4 * (LAYER + 96 * 32 + 4 * 32)


def test_the_longer_of_two_times_is_the_limit() -> None:
    work = work_of(SHAPE, Batch(1, 0, (), 1), rank=0, tuned_tokens=0, element_bytes=4)
    assert work.least_s(1e3, 1e30) == work.flops / 1e3
    assert work.bound(1e3, 1e30) == "products"
    assert work.least_s(1e30, 1e3) == work.bytes / 1e3
    assert work.bound(1e30, 1e3) == "memory"


def test_rates_are_the_best_of_the_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.roofline.rates._LARGE", {"cpu": 64})
    monkeypatch.setattr("calibration.roofline.rates._ROWS", {"cpu": 32})
    monkeypatch.setattr("calibration.roofline.rates._READ_BYTES", {"cpu": 2**16})
    monkeypatch.setattr("calibration.roofline.rates.last_cache_bytes", lambda: 2**14)
    clock = Clock(torch.device("cpu"), 1)
    monkeypatch.setattr(clock, "seconds", lambda work: (work(), 2.0)[1])
    rates = Device([(48, 16)], torch.zeros(1), clock).rates()
    assert rates == Rates(2 * 32 * 64 * 64 / 2.0, 2 * 2**16 / 2.0)
    assert last_cache_bytes() >= 2**15


def test_a_rig_is_where_its_case_begins(model: Path) -> None:
    case = Case(3, 40, True, draft_length=3)
    rig = Rig(model, [case], EngineOptions(), {})
    rig.enter(case, seed=0)
    clock = Clock(torch.device("cpu"), 1)
    assert clock.counts_cpu
    for spent_s, record in rig.steps(case, 4, clock):
        assert spent_s > 0
        assert record.batch.decodes == 3
        assert not record.batch.chunks
        assert record.drafted_tokens == 9  # all found, and all kept
        assert record.emitted_tokens == 12
    rig.leave()
    assert not rig.engine.busy


def test_every_case_is_measured_and_its_parts_make_a_whole(model: Path, tmp_path: Path) -> None:
    told: list[str] = []
    asked = Asked(model, tmp_path, EngineOptions(dtype="float32"), 1, rounds=2)
    found, rates = measure(asked, TINY, lambda _, what: told.append(what))
    assert [one.case for one in found] == list(TINY)
    assert len(told) == 2 * len(TINY)
    for one in found:
        assert len(one.fractions) == 2
        assert 0 < one.fraction < 1
        assert set(one.parts) == set(PARTS)
        assert sum(one.parts.values()) == pytest.approx(1.0, abs=0.05)
        assert (one.parts["LoRA"] > 0) == bool(one.case.adapters)
        assert (one.parts["drafts"] > 0) == bool(one.case.draft_length)
    assert all(rate.flops_per_s > 0 and rate.bytes_per_s > 0 for rate in rates)


def test_case_names_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert Case(16, 64, True, 8, 16).name == "decode, 16 on 64, 8 adapters of rank 16"
    assert Case(1, 2048, decode=False).name == "prompts, 1 of 2,048"
