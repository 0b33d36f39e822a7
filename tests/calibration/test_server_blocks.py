"""Slots as thread blocks: known constants come back, and the real runs that were not fitted are met."""

from __future__ import annotations

import csv
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from advisor.spec.model import ALL_LINEAR
from advisor.steptime.lora import blocks_per_slot
from calibration.fit import Fit
from calibration.importers.server_blocks import (
    BlockFit,
    RankRun,
    fit_blocks,
    rank_growth,
    read_ranks,
)
from calibration.importers.server_files import Run, read_runs
from calibration.importers.server_lora import SEATS, distinct
from calibration.importers.server_profile import MODELS, ServerFits, fit_servers
from calibration.importers.server_step import STEP_TOKENS, BaseFit
from tests.profiles import LLAMA_8B

NOTHING = Fit({}, {}, {}, ())
BASE = BaseFit((1.0, 1000.0), (0.01, 0.03), 0.0, 1e-7, 1e-3, 2e-5, NOTHING)
ENABLED, SHRINK, EXPAND, ADAPTER = 2e-4, 8e-10, 1e-9, 4e-4
BLOCKS = BlockFit(LLAMA_8B, ENABLED, SHRINK, EXPAND, NOTHING, ())


@pytest.fixture(scope="module")
def servers(shared_data: Path) -> dict[str, ServerFits]:
    return fit_servers(shared_data / "e2e")


def slots_s(slots: int, rank: int, tokens: int) -> float:
    """Of the blocks of every slot and of the slot for tokens without an adapter."""
    shrink, expand = blocks_per_slot(LLAMA_8B, ALL_LINEAR, rank, tokens)
    return (slots + 1) * (shrink * SHRINK + expand * EXPAND)


def base_s(tokens: int, context: float) -> float:
    return 0.01 + (tokens - 1) * 0.02 / 999 + 1e-7 * tokens * context


def test_known_constants_come_back() -> None:
    runs = [
        Run("find_available", (slots, rank), "", 1, 1.0, 13.0, 120.0, 0.02,
            base_s(1, 73.0) + ENABLED + slots_s(slots, rank, 1))
        for rank in (8, 16, 32) for slots in (8, 32, 128, 384)
    ]  # fmt: skip
    runs += [
        Run("overhead", (tokens, 300, 8, 1, int(output), 1), "overhead_small/output", 1, 1.0, 5.0, output,
            0.02, base_s(tokens, 5 + output / 2) + ENABLED + ADAPTER + slots_s(300, 8, tokens))
        for tokens, output in ((220, 100.0), (250, 200.0))
    ]  # fmt: skip
    runs.append(Run("other", (9, 9), "input", 1, 1.0, 5.0, 1.0, 0.02, 9.0))
    fit = fit_blocks(runs, BASE, LLAMA_8B, ADAPTER)
    assert fit.enabled_s == pytest.approx(ENABLED, rel=1e-3)
    assert fit.shrink_block_s == pytest.approx(SHRINK, rel=1e-3)
    assert fit.expand_block_s == pytest.approx(EXPAND, rel=1e-3)
    assert len(fit.step_residuals) == 14
    assert np.abs(fit.step_residuals).max() < 1e-4
    assert fit.seconds(100, 20, 32) == pytest.approx(slots_s(20, 32, 100))


def test_growth_with_rank_by_hand() -> None:
    """0.4 ms an adapter at ranks 8 and 16, 0.6 ms at 32, besides 1 ms a step and 0.1 µs a cached adapter."""
    runs = []
    for rank, per_adapter in ((8, 4e-4), (16, 4e-4), (32, 6e-4)):
        for adapters in (1, 32, 64, 96):
            step = base_s(64, 55.0) + slots_s(100, rank, 64) + 1e-3
            step += distinct(adapters, 64) * (per_adapter + 100 * 1e-7)
            runs.append(RankRun(64, 100, rank, adapters, 4096, 5.0, 100.0, 100.0, step))
    assert rank_growth(runs, BASE, BLOCKS, 1e-7) == pytest.approx(0.5, rel=0.01)


def test_the_file_of_ranks_holds_what_its_logs_are_named_after() -> None:
    text = files("calibration.importers").joinpath("server_ranks.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert len({row["log"] for row in rows}) == len(rows) == 28
    for row in rows:
        words = 1 if row["kind"] == "output" else 200
        name = (
            f"_{row['batch']}_{row['slots']}_{row['rank']}__{words}_{row['answer_tokens']}_{row['adapters']}/"
        )
        assert row["log"].startswith(name)
    for model, _ in MODELS.values():
        runs = read_ranks(model, "output")
        assert [(run.rank, run.adapters) for run in runs] == [
            (rank, adapters) for rank in (8, 16, 32) for adapters in (1, 32, 64, 96)
        ]
        for run in runs:  # waves of 64, each a first token and 99 steps
            assert run.duration_s == pytest.approx(run.requests / run.batch * 100 * run.tpot_s, rel=0.06)
    assert len(read_ranks("llama-3.1-8b-instruct", "input")) == 4


@pytest.mark.data
@pytest.mark.parametrize("ending", MODELS)
def test_slots_of_the_calibration_runs_are_met(servers: dict[str, ServerFits], ending: str) -> None:
    off = np.abs(servers[ending].blocks.step_residuals)
    assert np.median(off) < 0.01
    assert off.max() < 0.03


@pytest.mark.data
def test_both_models_pay_alike_for_a_block(servers: dict[str, ServerFits]) -> None:
    """Fitted apart; the counts of blocks carry what differs."""
    llama, qwen = (servers[ending].blocks for ending in MODELS)
    assert qwen.shrink_block_s == pytest.approx(llama.shrink_block_s, rel=0.05)
    assert qwen.expand_block_s == pytest.approx(llama.expand_block_s, rel=0.25)


@pytest.mark.data
def test_prompt_only_runs_with_adapters_that_were_not_fitted(servers: dict[str, ServerFits]) -> None:
    """2048 prompt tokens a step, 100 slots, ranks 16 and 32: 13 to 17 % long (linear slots: 50 to 64 %)."""
    fits = servers["llama-3.1-8b"]
    for run in read_ranks("llama-3.1-8b-instruct", "input"):
        prompts = STEP_TOKENS / run.prompt_tokens
        each = fits.traffic.per_adapter_s + run.slots * fits.traffic.per_adapter_cached_s
        step = fits.base.seconds(STEP_TOKENS, prompts) + fits.blocks.enabled_s
        step += fits.blocks.seconds(STEP_TOKENS, run.slots, run.rank) + distinct(run.adapters, prompts) * each
        step += prompts * (fits.base.per_chunk_s + fits.traffic.per_start_s)
        assert 1.0 < step * run.requests / prompts / run.duration_s < 1.2


@pytest.mark.data
def test_a_start_costs_what_the_other_models_saturated_runs_say(
    servers: dict[str, ServerFits], shared_data: Path
) -> None:
    """The ten-minute runs of Llama cannot tell a start from its 250 tokens; Qwen's two prompt lengths can."""
    fits = servers["qwen-2.5-7b"]
    rest: dict[int, list[tuple[float, float]]] = {}
    for run in read_runs(shared_data / "e2e", "qwen-2.5-7b-instruct"):
        if not run.kind.startswith("find_max_batch"):
            continue
        starts = SEATS / run.output_tokens
        tokens = SEATS + starts * run.prompt_tokens
        context = run.prompt_tokens + 0.5 * run.output_tokens
        known = fits.base.seconds(tokens, SEATS) + fits.base.per_context_token_s * SEATS * context
        known += fits.base.per_chunk_s * starts + fits.blocks.seconds(math.ceil(tokens), run.numbers[0], 8)
        step = run.duration_s / (run.requests * run.output_tokens / SEATS)
        rest.setdefault(run.numbers[0], []).append((starts, step - known))
    assert sorted(rest) == [300, 400]
    for pair in rest.values():
        (few, short), (many, long) = sorted(pair)
        assert (long - short) / (many - few) == pytest.approx(fits.traffic.per_start_s, rel=0.2)


@pytest.mark.data
@pytest.mark.parametrize("ending", MODELS)
def test_single_requests_come_out_short(
    servers: dict[str, ServerFits], shared_data: Path, ending: str
) -> None:
    """By 5 to 6 %: 0.7 ms that the ten-minute runs, whose steps of few tokens are met, do not have."""
    fits = servers[ending]
    adapter = fits.traffic.per_adapter_s + 50 * fits.traffic.per_adapter_cached_s
    count = 0
    for run in read_runs(shared_data / "e2e", MODELS[ending][0]):
        if run.experiment == "predictor_loading":
            context = run.prompt_tokens + 0.5 * run.output_tokens
            step = fits.base.seconds(1, 1) + fits.base.per_context_token_s * context
            step += fits.blocks.enabled_s + fits.blocks.seconds(1, 1, run.numbers[-1]) + adapter
            assert 0.93 < step / run.tpot_s < 0.97
            count += 1
    assert count == 6
