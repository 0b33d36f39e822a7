"""Terms carried over from public runs, scaled by hand; the fits behind them on files with known answers."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog.hardware import device
from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.spec.model import ALL_LINEAR, adapter_bytes
from advisor.spec.speculation import Acceptance
from calibration.fit import Fit
from calibration.importers import carried
from calibration.importers.public_fits import epsilon_s, fit_host, predicted
from calibration.importers.published import read_points
from calibration.importers.server_memory import fit_loads
from tests.calibration.test_steady import PROFILE, TERMS

ACCEPTANCE = Acceptance(marginals=(0.5, 0.25))
LLAMA = model("Llama-3.1-8B")


def _fit(fixed: float, byte: float = 0.0) -> Fit:
    values = {"fixed": fixed, "byte": byte, "token": 1e-6, "token_rank": 2e-9}
    return Fit(values, values, values, (0.0,))


def test_groups_scale_with_layers_and_small_products() -> None:
    groups = carried.carried().groups
    same = carried.lora_term(_fit(2e-3), LLAMA, 1.0, device("H100-80-SXM"), table="t")
    half = carried.lora_term(_fit(2e-3), LLAMA, 0.5, device("H100-80-SXM"), table="t")
    qwen = carried.lora_term(_fit(2e-3), model("Qwen2.5-7B"), 1.0, device("H100-80-SXM"), table="t")
    assert same.per_adapter_s == pytest.approx(groups.per_adapter_s)
    assert half.per_slot_s == pytest.approx(groups.per_slot_s / 2, rel=1e-4)
    assert qwen.per_slot_token_s == pytest.approx(groups.per_slot_token_s * 28 / 32, rel=1e-4)


def test_one_group_is_taken_off_the_products_and_weights_are_read_no_faster_than_memory() -> None:
    term = carried.lora_term(_fit(2e-3, byte=1e-15), LLAMA, 1.0, device("H100-80-SXM"), table="t")
    assert term.fixed_s + term.per_adapter_s == pytest.approx(2e-3, rel=1e-4)
    assert term.per_weight_byte_s == pytest.approx(1 / 3350e9, rel=1e-4)
    assert carried.lora_term(_fit(1e-5), LLAMA, 1.0, device("H100-80-SXM"), table="t").fixed_s == 0.0


def test_three_ngram_drafts_cost_six_thousandths_of_a_step() -> None:
    """10 ms at one sequence, 10 µs more for each, 0.1 µs a context token."""
    draft = carried.ngram_draft(TERMS, ACCEPTANCE)
    assert 3 * (draft.fixed_s + draft.per_sequence_s) == pytest.approx(0.006 * 0.010, rel=1e-3)
    assert 3 * draft.per_context_token_s == pytest.approx(0.006 * 1e-7, rel=1e-3)


def test_an_eagle3_draft_is_a_layer_a_small_head_and_an_overhead() -> None:
    draft = carried.eagle3_draft(TERMS, ACCEPTANCE, measured_on_h100=False)
    assert draft.fixed_s == pytest.approx(carried.carried().eagle3.overhead_s + 0.010 / 32, rel=1e-4)
    assert draft.kv_bytes_per_token == 2 * 8 * 128 * 2
    assert draft.weights_bytes == pytest.approx(0.85e9, rel=0.01)


def test_a_draft_model_costs_its_own_step() -> None:
    draft = carried.model_draft(TERMS, ACCEPTANCE)
    assert draft.fixed_s + draft.per_sequence_s == pytest.approx(0.010, rel=1e-3)
    assert draft.weights_bytes == LLAMA.weights_bytes


def test_bytes_into_a_slot_go_over_the_devices_own_link() -> None:
    disk, slot = carried.loads(device("L40S"))
    assert (disk.hop, slot.hop) == ("disk_to_cpu", "cpu_to_slot")
    assert slot.bandwidth_bytes_per_s == pytest.approx(0.8 * 32e9)


def test_loads_are_fitted_without_the_first_of_each_start(tmp_path: Path) -> None:
    """50 ms and 2 GB/s; the first load, of another kind, took 10 ms."""
    rows = ["model,adapter_rank,max_lora_rank,source,load_index,load_ms"]
    for rank in (8, 16, 32):
        seconds = 0.05 + adapter_bytes(LLAMA, ALL_LINEAR, rank) / 2e9
        rows += [f"m,{rank},32,disk,{index},{1e3 * (seconds if index else 0.01)}" for index in range(3)]
    (tmp_path / "bsc_vllm_adapter_loads.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    fit = fit_loads(tmp_path, "m", LLAMA, "disk")
    assert fit.fixed_s == pytest.approx(0.05, rel=1e-6)
    assert fit.bandwidth_bytes_per_s == pytest.approx(2e9, rel=1e-6)
    with pytest.raises(InputError, match="has no memory loads of m"):
        fit_loads(tmp_path, "m", LLAMA, "memory")


def _points(folder: Path, rows: list[str]) -> Path:
    header = (
        "backend,backend_version,model_path,system,precision,isl,osl,silicon_concurrency,tp_size,dump,"
        "silicon_ttft_ms,silicon_tpot_ms"
    )
    path = folder / "measured_ttft_tpot_agg.csv.gz"
    path.write_bytes(gzip.compress("\n".join([header, *rows]).encode()))
    return folder


def test_host_time_is_what_a_serial_engine_takes_beyond_the_device(tmp_path: Path) -> None:
    """TPOT = device + 2 ms + 50 µs a sequence in bfloat16; fp8 points, 1 ms beyond, give epsilon alone."""
    shape = model("Qwen3-32B")
    terms = tuple(
        TERMS.model_copy(update={"model": one})
        for one in (shape, shape.model_copy(update={"weights_dtype": model("Qwen3-32B-FP8").weights_dtype}))
    )
    profile = PROFILE.model_copy(update={"models": terms})
    rows = [
        f"vllm,0.12,Qwen/Qwen3-32B,h100_sxm,{precision},100,1000,{count},1,x,50,1"
        for precision in ("", "fp8")
        for count in (1, 4, 16, 64)
    ]
    rows += [
        "vllm,0.12,Qwen/Qwen3-32B,h100_sxm,,100,1000,4,1,x,9000,1",  # overload
        "vllm,0.12,Qwen/Qwen3-32B,h100_sxm,,100,1000,128,1,x,50,1",  # too many
        "sglang,1,Qwen/Qwen3-32B,h100_sxm,,100,1000,4,1,x,50,1",
        "vllm,0.12,openai/gpt-oss-20b,h100_sxm,,100,1000,4,1,x,50,1",
    ]
    points = read_points(_points(tmp_path, rows), system="h100_sxm")
    assert len(points) == 8
    told = []
    for point in points:
        steady = predicted(profile, point)
        assert steady is not None
        beyond = 1e-3 if point.precision == "fp8" else 2e-3 + 5e-5 * point.concurrency
        told.append(replace(point, tpot_s=steady.tpot_s + beyond))
    fit = fit_host(profile, told)
    assert fit.values["fixed"] == pytest.approx(2e-3, rel=1e-6)
    assert fit.values["sequence"] == pytest.approx(5e-5, rel=1e-6)
    assert epsilon_s(profile, told) == pytest.approx(1e-3, rel=1e-6)
