"""Adapters under traffic: known coefficients come back from made-up ten-minute runs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from calibration.fit import Fit
from calibration.importers.server_files import Run
from calibration.importers.server_step import BaseFit
from calibration.importers.server_traffic import ANSWER_TOKENS, TRAFFIC, fit_traffic, rank_growth, scan_s

SLOT, SLOT_PROMPT, ADAPTER, CACHED, PROMPT = 2e-5, 4e-7, 4e-4, 3e-7, 2e-5
SCAN, SEQUENCE = 3e-7, 4e-6
BASE = BaseFit((1.0, 1000.0), (0.01, 0.03), 0.0, 1e-7, 1e-3, 2e-5, Fit({}, {}, {}, ()))
NAMES = (
    "gpu_loras,cpu_loras,avg_waiting_queue,duration,steps,output_throughput,completed_requests,mean_loras_by_batch,"
    "max_lora_loading_time,max_lora_loads_from_memory,max_lora_loads_from_memory_corrected,total_scheduling_time"
)


def write_traffic(folder: Path) -> None:
    """Runs of 1000 steps whose means obey the equation; a quarter of the loads is at the start."""
    random = np.random.default_rng(0)
    lines = [NAMES]
    for _ in range(200):
        slots, decodes = int(random.choice([8, 16, 64, 256])), random.uniform(5, 200)
        cached, adapters = slots + int(random.integers(0, 300)), random.uniform(1, min(slots, decodes))
        waiting, loads = float(random.choice([0, 500, 5000])), random.uniform(0, 2e-3)
        starts = decodes / ANSWER_TOKENS
        slope = 0.02 / 999
        known = 0.01 + slope * (decodes - 1) + starts * 250 * slope + 1e-7 * decodes * 365.5 + 1e-3 * starts
        scanning = SCAN * waiting + SEQUENCE * decodes
        step = known + loads + SCAN * waiting + slots * (SLOT + SLOT_PROMPT * 250 * starts)
        step += adapters * (ADAPTER + CACHED * cached) + PROMPT * 250 * starts
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
    fit = fit_traffic(tmp_path, BASE, rank_growth=0.4)
    assert fit.per_slot_s == pytest.approx(SLOT, rel=0.01)
    assert fit.per_slot_prompt_token_s == pytest.approx(SLOT_PROMPT, rel=0.01)
    assert fit.per_adapter_s == pytest.approx(ADAPTER, rel=0.01)
    assert fit.per_adapter_cached_s == pytest.approx(CACHED, rel=0.01)
    assert fit.per_prompt_token_s == pytest.approx(PROMPT, rel=0.02)
    assert np.abs(fit.step_residuals).max() < 1e-3
    assert scan_s(tmp_path) == pytest.approx(SCAN, rel=0.01)


def test_another_model_pays_in_proportion_on_the_device_alone(tmp_path: Path) -> None:
    write_traffic(tmp_path)
    fit = fit_traffic(tmp_path, BASE, rank_growth=0.4)
    other = fit.scaled(0.5, 0.3)
    assert other.per_adapter_s == pytest.approx(0.5 * fit.per_adapter_s)
    assert other.per_slot_prompt_token_s == pytest.approx(0.5 * fit.per_slot_prompt_token_s)
    assert (other.per_adapter_cached_s, other.rank_growth) == (fit.per_adapter_cached_s, 0.3)


def test_growth_with_rank_by_hand() -> None:
    """1 ms a slot at ranks 8 and 16, 1.5 ms at 32."""
    runs = [
        Run("find_available", (slots, rank), "", 1, 1.0, 13.0, 120.0, 0.02, 0.01 + slots * slope)
        for rank, slope in ((8, 1e-3), (16, 1e-3), (32, 1.5e-3))
        for slots in (8, 16, 64)
    ]
    assert rank_growth(runs) == pytest.approx(0.5)


def test_a_file_without_its_columns_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / TRAFFIC).write_bytes(gzip.compress(b"gpu_loras\n8\n"))
    with pytest.raises(InputError, match="lacks the column cpu_loras"):
        scan_s(tmp_path)
