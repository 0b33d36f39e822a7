"""One way to run the live engine: everything that makes it, so that it can be made and simulated alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.spec.engine import EngineLimits

if TYPE_CHECKING:
    from calibration.engine.engine import Engine
    from calibration.engine.options import EngineOptions


@dataclass(frozen=True, slots=True)
class LiveSetup:
    """Model, limits, adapters, memory, draft."""

    model_dir: Path
    limits: EngineLimits
    options: EngineOptions
    adapters: Mapping[str, Path] = field(default_factory=dict)  # name -> PEFT folder
    merged: Path | None = None  # this adapter is merged into the weights
    preload: tuple[str, ...] = ()  # adapters used once, in this order, before anything counts

    def engine(self) -> Engine:
        """Make it and warm it up: allocations, every preloaded adapter into host memory and its slot.

        Raises:
            InputError: the engine cannot be this.
        """
        from calibration.engine.engine import Engine

        engine = Engine(self.model_dir, self.limits, self.adapters, self.options)
        if self.merged is not None:
            engine.merge_adapter(self.merged)
        self._warm_up(engine)
        return engine

    def _warm_up(self, engine: Engine) -> None:
        vocab = engine.architecture.shape.vocab_size
        length = max(2, min(self.limits.max_num_batched_tokens, engine.architecture.max_positions // 4))
        prompt = [1 + (7 * i) % (vocab - 1) for i in range(length)]
        for _ in range(min(4, self.limits.max_num_seqs)):
            engine.add_request(prompt, max_tokens=4, ignore_eos=True)
        _run_out(engine)
        for name in self.preload:
            engine.add_request([1, 2], adapter=name, max_tokens=2, ignore_eos=True)
            _run_out(engine)


def _run_out(engine: Engine) -> None:
    while engine.busy:
        engine.step()


def set_threads(count: int) -> None:
    """Threads of torch on a CPU. More than there are free cores make steps slower and uneven."""
    import torch

    torch.set_num_threads(count)
