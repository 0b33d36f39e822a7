"""Adapters under traffic: known coefficients come back from made-up ten-minute runs."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from calibration.fit import Fit
from calibration.importers.server_blocks import BlockFit
from calibration.importers.server_step import BaseFit
from calibration.importers.server_traffic import ANSWER_TOKENS, TRAFFIC, fit_traffic, scan_s
from tests.profiles import LLAMA_8B

ADAPTER, CACHED, START = 4e-4, 3e-7, 4e-3
SCAN, SEQUENCE = 3e-7, 4e-6
ENABLED, SHRINK, EXPAND = 2e-4, 8e-10, 1e-9
NOTHING = Fit({}, {}, {}, ())
BASE = BaseFit((1.0, 1000.0), (0.01, 0.03), 0.0, 1e-7, 1e-3, 2e-5, NOTHING)
BLOCKS = BlockFit(LLAMA_8B, ENABLED, SHRINK, EXPAND, NOTHING, ())
NAMES = (
    "gpu_loras,cpu_loras,avg_waiting_queue,duration,steps,output_throughput,completed_requests,mean_loras_by_batch,"
    "max_lora_loading_time,max_lora_loads_from_memory,max_lora_loads_from_memory_corrected,total_scheduling_time"
)


def chance(count: int, mean: float) -> float:
    """Poisson."""
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def slot_s(decodes: float, starts: float) -> float:
    """Mean seconds of one slot's blocks at rank 8, spelled out."""
    mean = 0.0
    for begun in range(9):
        for held in range(round(decodes + 9 * math.sqrt(decodes)) + 5):
            tokens = min(held + 250 * begun, 2048)
            split = 64 if tokens < 121 else 8
            blocks = (
                32 * 7 * split * math.ceil(tokens / 32) * SHRINK + 12_288 * math.ceil(tokens / 64) * EXPAND
            )
            mean += chance(held, decodes) * chance(begun, starts) * blocks
    return mean


def write_traffic(folder: Path, runs: int = 60) -> None:
    """Runs of 1000 steps whose means obey the equation; a quarter of the loads is at the start."""
    random = np.random.default_rng(0)
    lines = [NAMES]
    for _ in range(runs):
        slots, decodes = int(random.choice([8, 16, 64, 256])), random.uniform(5, 200)
        cached, adapters = slots + int(random.integers(0, 300)), random.uniform(1, min(slots, decodes))
        waiting, loads = float(random.choice([0, 500, 5000])), random.uniform(0, 2e-3)
        starts = decodes / ANSWER_TOKENS
        slope = 0.02 / 999
        step = 0.01 + slope * (decodes - 1) + starts * 250 * slope + 1e-7 * decodes * 365.5 + 1e-3 * starts
        step += loads + SCAN * waiting + ENABLED + (slots + 1) * slot_s(decodes, starts)
        step += adapters * (ADAPTER + CACHED * cached) + START * starts
        scanning = SCAN * waiting + SEQUENCE * decodes
        values: list[float] = [
            slots,
            cached,
            waiting,
            1000 * step,
            1000,
            decodes / step,
            1000 * starts,
            adapters,
        ]
        values += [1000 * loads * 4 / 3, 400, 300, 1000 * scanning]
        lines.append(",".join(f"{value:.12g}" for value in values))
    (folder / TRAFFIC).write_bytes(gzip.compress("\n".join(lines).encode()))


def test_known_coefficients_come_back(tmp_path: Path) -> None:
    write_traffic(tmp_path)
    fit = fit_traffic(tmp_path, BASE, BLOCKS)
    assert fit.per_adapter_s == pytest.approx(ADAPTER, rel=0.01)
    assert fit.per_adapter_cached_s == pytest.approx(CACHED, rel=0.01)
    assert fit.per_start_s == pytest.approx(START, rel=0.02)
    assert np.abs(fit.step_residuals).max() < 1e-3
    assert scan_s(tmp_path) == pytest.approx(SCAN, rel=0.01)


def test_another_model_pays_in_proportion_on_the_device_alone(tmp_path: Path) -> None:
    write_traffic(tmp_path, runs=20)
    fit = fit_traffic(tmp_path, BASE, BLOCKS)
    other = fit.scaled(0.5)
    assert other.per_adapter_s == pytest.approx(0.5 * fit.per_adapter_s)
    assert other.per_start_s == pytest.approx(0.5 * fit.per_start_s)
    assert other.per_adapter_cached_s == fit.per_adapter_cached_s


def test_a_file_without_its_columns_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / TRAFFIC).write_bytes(gzip.compress(b"gpu_loras\n8\n"))
    with pytest.raises(InputError, match="lacks the column cpu_loras"):
        scan_s(tmp_path)
