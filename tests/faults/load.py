"""What is replayed: short requests to the base model, close together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advisor.trace.trace import Trace
from advisor.trace.writers import save_trace
from calibration.replay.prompts import prompts_for

PROMPT_TOKENS, OUTPUT_TOKENS = 6, 4
Prompts = list[tuple[int, ...]]


def trace_of(count: int, gap_s: float = 0.002) -> Trace:
    ones = np.ones(count, dtype=np.int64)
    arrival_s = np.arange(count, dtype=np.float64) * gap_s
    return Trace(arrival_s, PROMPT_TOKENS * ones, OUTPUT_TOKENS * ones, -ones, (), name="load")


def prompts_of(count: int) -> Prompts:
    """As `calibrate replay` sends them with its own seed and vocabulary; no two are alike."""
    found = [tuple(ids) for ids in prompts_for(trace_of(count), 1000, 0)]
    assert len(set(found)) == count
    return found


def written(folder: Path, count: int, gap_s: float = 0.002) -> str:
    """A trace file."""
    path = folder / "load.csv"
    save_trace(trace_of(count, gap_s), path)
    return str(path)
