"""One set-up with one trace, simulated and measured several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from advisor.profile import Profile
from advisor.sim.result import SimResult
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import BASE, Trace
from calibration.claims.result import Row
from calibration.livesetup import LiveSetup
from calibration.predict import predict
from calibration.replay.inprocess import replay_engine
from calibration.replay.prompts import prompts_for
from calibration.validate.compare import Figures, figures_of
from calibration.validate.run import figure


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction, and the same replayed."""

    simulated: Figures
    measured: tuple[Figures, ...]

    def value(self, name: str) -> float:
        """Median of the measured figures, such as `ttft p50`, in seconds."""
        return float(np.median([_figure(f, name) for f in self.measured]))

    def spread(self, name: str) -> float:
        """Half the range of the repeats over their median."""
        values = [_figure(f, name) for f in self.measured]
        middle = float(np.median(values))
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    def row(self, setting: str, name: str, beside: Pair | None = None) -> Row:
        """A row in milliseconds (or tokens a second), with the ratio to another pair."""
        factor = 1.0 if name == "throughput" else 1e3
        mine, simulated = self.value(name), _figure(self.simulated, name)
        ratios: dict[str, float] = {}
        if beside is not None and beside.value(name):
            ratios = {
                "ratio": mine / beside.value(name),
                "simulated_ratio": simulated / _figure(beside.simulated, name),
            }
        words = {"ttft p50": "TTFT p50, ms", "tpot p50": "TPOT p50, ms", "throughput": "tokens/s"}
        return Row(
            setting=setting,
            figure=words[name],
            simulated=factor * simulated,
            measured=factor * mine,
            spread=self.spread(name),
            **ratios,
        )


def _figure(figures: Figures, name: str) -> float:
    return figures.output_tokens_per_s if name == "throughput" else figure(figures, name)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all experiments share."""

    setup: LiveSetup  # with all adapters
    profile: Profile
    drafts: Mapping[str, Path] = field(default_factory=dict)
    repeats: int = 3
    duration_s: float = 4.0
    seed: int = 0

    @property
    def vocab(self) -> int:
        """Tokens that prompts are drawn from."""
        return self.profile.models[0].model.vocab_size

    def with_adapters(self, count: int, slots: int | None = None, cached: int | None = None) -> LiveSetup:
        """The engine with the first so many adapters, all in slots unless said."""
        names = tuple(self.setup.adapters)[:count]
        slots = count if slots is None else slots
        rank = self.setup.limits.max_lora_rank
        limits = self.setup.limits.model_copy(
            update={
                "max_loras": slots,
                "max_cpu_loras": max(slots, count if cached is None else cached),
                "max_lora_rank": rank if slots else 0,
            }
        )
        adapters = {name: self.setup.adapters[name] for name in names}
        return replace(self.setup, limits=limits, adapters=adapters, preload=tuple(reversed(names)))

    def plain(self) -> LiveSetup:
        """The engine with LoRA off."""
        return self.with_adapters(0)

    def trace(
        self,
        rate_rps: float,
        adapters: int = 0,
        *,
        prompt: int = 48,
        output: int = 32,
        count: int | None = None,
        seed: int = 0,
    ) -> Trace:
        """Poisson arrivals of requests of one length over even adapters (0: the base)."""
        random = np.random.default_rng([self.seed, seed, adapters, prompt, output])
        number = max(6, round(rate_rps * self.duration_s)) if count is None else count
        gaps = random.exponential(1.0 / rate_rps, number) if np.isfinite(rate_rps) else np.zeros(number)
        adapter = np.full(number, BASE, dtype=np.int64)
        if adapters:
            adapter = random.permutation(np.arange(number) % adapters).astype(np.int64)
        sizes = (np.full(number, prompt, dtype=np.int64), np.full(number, output, dtype=np.int64))
        names = tuple(self.setup.adapters)[:adapters]
        return Trace(np.cumsum(gaps) - gaps[0], *sizes, adapter, names, name="claims")

    def pair(
        self,
        setup: LiveSetup,
        trace: Trace,
        *,
        prompts: Sequence[Sequence[int]] | None = None,
        acceptance: Acceptance | None = None,
    ) -> Pair:
        """Simulate and replay; every repeat on a fresh engine."""
        simulated = figures_of(self.simulated(setup, trace, acceptance))
        ids = prompts_for(trace, self.vocab, self.seed) if prompts is None else prompts
        measured = []
        for repeat in range(self.repeats):
            engine = setup.engine()
            measured.append(figures_of(replay_engine(engine, trace, ids, seed=repeat)))
            engine.close()
        return Pair(simulated, tuple(measured))

    def simulated(self, setup: LiveSetup, trace: Trace, acceptance: Acceptance | None = None) -> SimResult:
        """The prediction."""
        return predict(self.profile, setup, trace, base=acceptance, seed=self.seed)

    def capacity_rps(self, setup: LiveSetup, adapters: int = 0) -> float:
        """Requests a second of a burst, by prediction."""
        burst = self.trace(float("inf"), adapters, count=200)
        return len(burst) / float(np.nanmax(self.simulated(setup, burst).last_token_s))
