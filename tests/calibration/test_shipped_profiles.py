"""The profiles in data/: they load, are small, rise where physics rises, and rebuild to the same bytes."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from advisor.catalog.hardware import device
from advisor.catalog.shapes import model
from advisor.datafiles import data_dir
from advisor.errors import InputError
from advisor.profile import Profile, find_datasheets, find_profiles, load_profile, shipped_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin, WeightsDtype
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.steptime.terms import terms_for

BOTH = ("a100_sxm", "b200_sxm", "b300_sxm", "gb200", "gb300", "h100_sxm", "h200_sxm", "l40s")
EXPECTED = {
    f"{system}-{engine}" for system in (*BOTH, "rtx_pro_6000_server") for engine in ("vllm", "sglang")
}
EXPECTED |= {"b60-vllm", "rtx_4090-vllm"}
LARGEST_BYTES = 400 * 1024


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def profile(request: pytest.FixtureRequest) -> Profile:
    return shipped_profile(request.param)


def test_the_expected_ones_are_there_and_small() -> None:
    found = find_profiles()
    assert found.keys() >= EXPECTED
    assert all(found[name].stat().st_size < LARGEST_BYTES for name in EXPECTED)
    servers = find_profiles(data_dir() / "profiles" / "servers")
    assert set(servers) == {"h100_64gb-vllm-0.8-llama-3.1-8b", "h100_64gb-vllm-0.8-qwen-2.5-7b"}
    assert all(load_profile(path).name == name for name, path in servers.items())


@pytest.mark.parametrize("name", sorted(find_datasheets()))
def test_a_datasheet_says_so_in_every_term_and_how_far_off_it_may_be(name: str) -> None:
    found = shipped_profile(name)
    assert find_datasheets()[name].stat().st_size < LARGEST_BYTES
    assert found.method == "datasheet"
    assert found.device == device(found.device.name)
    for terms in found.models:
        every = (terms.dense, terms.head, terms.attn_prefill, terms.attn_decode, terms.lora, terms.all_reduce)
        assert {term.origin for term in every if term is not None} == {Origin.DATASHEET}
        assert terms.model.weights_dtype is WeightsDtype.BFLOAT16
    assert any("8 % fast to 36 % slow" in note for note in found.notes)
    over_pcie = found.device.name != "A100-40-SXM"
    assert {terms.tensor_parallel for terms in found.models} == ({1} if over_pcie else {1, 2, 4, 8})


def test_a_smaller_card_of_a_measured_chip_is_near_the_measured_one() -> None:
    """The A100 of 40 GB has the chip of the one of 80 GB and three quarters of its memory's rate."""
    clocks = []
    for name in ("a100_40_sxm-vllm-datasheet", "a100_sxm-vllm"):
        one = shipped_profile(name)
        limits = EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048)
        clocks.append(ProfileClock(one, terms_for(one, model("Llama-3.1-8B"), 1), limits))
    small, large = (clock.parts(Batch(1, 500, outputs=1)).total for clock in clocks)
    assert 1.1 < small / large < 1.6  # 2039 / 1555 = 1.31
    small, large = (clock.parts(Batch(0, 0, ((2048, 0),), outputs=1)).total for clock in clocks)
    assert 0.9 < small / large < 1.5  # the same rate of operations


def test_a_card_has_the_room_that_a_run_on_it_had() -> None:
    """LLMServingSim's run: 41,408 tokens beside Llama-3.1-8B at a share of 0.9, as vLLM logged them."""
    card, weights = shipped_profile("rtx_4090-vllm"), model("Llama-3.1-8B")
    room = 0.9 * card.device.memory_bytes - weights.weights_bytes - card.memory.overhead_bytes
    assert room / weights.kv_bytes_per_token == pytest.approx(41_408, rel=1e-3)
    for name, path in find_datasheets().items():
        one = load_profile(path)
        small = one.device.memory_bytes < 70 * 2.0**30
        assert (one.memory.overhead_bytes == card.memory.overhead_bytes) is small, name


def test_an_unknown_name_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="h100_sxm-vllm"):
        shipped_profile("h1000")
    with pytest.raises(InputError, match="no such folder"):
        find_profiles(tmp_path / "none")
    assert find_profiles(tmp_path) == {}


def test_devices_and_models_are_those_of_the_catalog(profile: Profile) -> None:
    assert profile.device == device(profile.device.name)
    for terms in profile.models:
        assert terms.model == model(terms.model.name)


def test_no_machine_path_and_no_long_number(profile: Profile) -> None:
    text = find_profiles()[profile.name].read_text()
    assert "/work" not in text
    assert "/tmp" not in text
    assert not re.search(r"[1-9]\d*\.\d{6,}|0\.0*[1-9]\d{5,}", text)


def test_curves_rise_and_more_devices_do_not_slow_the_products(profile: Profile) -> None:
    """Rising to the last digit: the importer pools what falls in the tables (see docs)."""
    for terms in profile.models:
        curves = [terms.dense, terms.head, *([terms.all_reduce] if terms.all_reduce else [])]
        for curve in curves:
            assert all(after >= before for before, after in pairwise(curve.y_s))
        grid = np.log(np.maximum(terms.attn_prefill.seconds, 1e-12))
        noise = 0.07 if profile.name == "rtx_4090-vllm" else 1e-9  # that grid is as measured
        assert (np.diff(grid, axis=0) >= -noise).all()
        assert (np.diff(grid, axis=1) >= -noise).all()
    by_model: dict[str, list[float]] = {}
    for terms in profile.models:
        by_model.setdefault(terms.model.name, []).append(terms.dense.y_s[-1])
    for last in by_model.values():
        assert all(after < before for before, after in pairwise(last))


def test_lora_is_marked_as_an_estimate_and_costs_something(profile: Profile) -> None:
    for terms in profile.models:
        lora = terms.lora
        assert lora is not None
        assert lora.origin is Origin.ESTIMATED
        assert lora.interval[0] <= 0.5
        assert lora.interval[1] >= 1.2
        assert lora.per_adapter_s > 0
        assert lora.fixed_s + lora.per_adapter_s > 1e-5


def test_weights_fit_and_larger_batches_cost_more(profile: Profile) -> None:
    limits = EngineLimits(max_num_seqs=256, max_num_batched_tokens=8192)
    for terms in profile.models:
        assert terms.model.weights_bytes / terms.tensor_parallel < profile.device.memory_bytes
        clock = ProfileClock(profile, terms, limits)
        steps = [sum(clock.parts(Batch(s, s * 512, outputs=s))) for s in (1, 8, 64, 256)]
        assert all(after > 0.98 * before for before, after in pairwise(steps))  # the tables have noise
        assert steps[-1] > 1.2 * steps[0]
        floor = terms.model.layer_parameters * terms.model.weights_dtype.bytes_per_parameter
        assert steps[0] > 0.9 * floor / terms.tensor_parallel / profile.device.bandwidth_bytes_per_s


def test_the_h100_step_is_near_the_published_fit() -> None:
    """facts.md 4.1: 5.886 ms + 21 µs a token + 0.0393 µs a KV token + 1.21 ms, Llama-3.1-8B, vLLM."""
    profile = shipped_profile("h100_sxm-vllm")
    terms = next(t for t in profile.models if t.model.name == "Llama-3.1-8B" and t.tensor_parallel == 1)
    clock = ProfileClock(profile, terms, EngineLimits(max_num_seqs=64, max_num_batched_tokens=8192))
    for sequences, context in ((1, 1024), (8, 8192), (32, 32768), (64, 65536)):
        ours = sum(clock.parts(Batch(sequences, context, outputs=sequences)))
        published = 5.886e-3 + 21.0e-6 * sequences + 0.0393e-6 * context + 1.21e-3
        assert ours == pytest.approx(published, rel=0.13)
    prompt = sum(clock.parts(Batch(0, 0, ((2048, 0),), 1)))
    assert prompt == pytest.approx(5.886e-3 + 21.0e-6 * 2048 + 1.21e-3, rel=0.15)


def test_residuals_are_what_the_docs_say() -> None:
    for name, bound in (("h100_sxm-vllm", 0.1), ("rtx_pro_6000_server-vllm", 0.1), ("b200_sxm-vllm", 0.25)):
        residual = shipped_profile(name).residual
        assert residual is not None
        assert residual.points >= 30
        assert abs(residual.median_relative) < bound


@pytest.mark.data
@pytest.mark.slow
def test_rebuilding_gives_the_same_bytes(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also holds calibration/importers/carried.json to the public data: what it would be, it is."""
    pytest.importorskip("aiconfigurator_core", reason="no aiconfigurator-core; install the extra 'import'")
    from datetime import UTC, datetime

    from benchmarks import build_profiles
    from calibration.importers import carried

    monkeypatch.setenv("LORA_ADVISOR_DATA", str(shared_data))
    kept = Path(carried.__file__).with_name("carried.json").read_bytes()
    shipped = {path.name: path.read_bytes() for path in (data_dir() / "profiles").rglob("*.json")}
    target = tmp_path / "profiles"
    shutil.copytree(data_dir() / "profiles", target)
    monkeypatch.setattr(build_profiles, "ROOT", tmp_path)
    monkeypatch.setattr(build_profiles, "PROFILES", target)
    monkeypatch.setattr(build_profiles, "CARRIED", tmp_path / "carried.json")
    build_profiles.build(datetime(2030, 1, 1, tzinfo=UTC))
    assert (tmp_path / "carried.json").read_bytes() == kept
    assert {path.name: path.read_bytes() for path in target.rglob("*.json")} == shipped
