"""Driving the live engine in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.spec.engine import EngineLimits
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions


def engine_for(
    model_dir: Path,
    adapters: Mapping[str, Path] | None = None,
    options: EngineOptions | None = None,
    **limits: Any,
) -> Engine:
    """A small engine; adapters of rank 8 at most where there are any."""
    lora = (
        {"max_loras": len(adapters), "max_cpu_loras": len(adapters), "max_lora_rank": 8} if adapters else {}
    )
    given = {"max_num_seqs": 8, "max_num_batched_tokens": 32, "kv_block_tokens": 4, **lora, **limits}
    return Engine(model_dir, EngineLimits(**given), adapters, options or EngineOptions(kv_blocks=128))


def run(engine: Engine, most_steps: int = 500) -> dict[int, list[int]]:
    """Step until all requests have ended; tokens of each. Checks the invariants after every step."""
    tokens: dict[int, list[int]] = {}
    for _ in range(most_steps):
        if not engine.busy:
            return tokens
        for output in engine.step():
            tokens.setdefault(output.request, []).extend(output.tokens)
        engine.check_invariants()
        engine.wait(0.1)
    raise AssertionError(f"requests still under way after {most_steps} steps")
