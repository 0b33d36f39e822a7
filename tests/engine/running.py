"""Driving the live engine in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.spec.engine import EngineLimits
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from tests.engine.conftest import Tiny
from tests.engine.models import likeliest_answer


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


def assert_greedy(
    tiny: Tiny, wishes: list[tuple[list[int], str | None, int]], answers: list[list[int]]
) -> None:
    """Each answer is that of transformers and PEFT, greedy."""
    for (prompt, adapter, count), answer in zip(wishes, answers, strict=True):
        folder = tiny.adapters[adapter] if adapter else None
        assert len(answer) == count
        assert answer == likeliest_answer(tiny.model, prompt, answer, folder)


def ask(engine: Engine, wishes: list[tuple[list[int], str | None, int]], **more: Any) -> list[int]:
    """Add requests: (prompt, adapter, tokens)."""
    return [engine.add_request(p, adapter=a, max_tokens=n, **more) for p, a, n in wishes]
