"""What all experiments share: engines, traces, and the same trace simulated and measured in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from advisor.errors import MeasurementError
from advisor.profile import Profile
from advisor.replayed import ReplayResult
from advisor.sim.result import SimResult
from advisor.spec.speculation import Acceptance
from advisor.trace.trace import BASE, Trace
from calibration.claims.engines import Engines
from calibration.claims.result import Row, row
from calibration.livesetup import LiveSetup
from calibration.predict import predict
from calibration.replay.inprocess import replay_engine
from calibration.replay.prompts import prompts_for
from calibration.smallmodel import made_up_adapters

Bools = NDArray[np.bool_]
PROMPT_TOKENS, ANSWER_TOKENS = 48, 32
_LEAST_S, _LEAST_REQUESTS = 0.05, 6
_LARGE = 1e9  # parameters


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things compared: an engine and what it is asked."""

    setup: LiveSetup
    trace: Trace
    prompts: Sequence[Sequence[int]] | None = None  # None: random tokens
    acceptance: Acceptance | None = None  # of its draft, for the prediction
    mine: Bools | None = None  # requests that count; None: all


@dataclass(frozen=True, slots=True)
class Runs:
    """One side, predicted once and measured several times."""

    simulated: SimResult
    measured: tuple[ReplayResult, ...]
    mine: Bools

    def of(self, figure: Callable[[SimResult | ReplayResult, Bools], float]) -> tuple[float, list[float]]:
        """A figure of the prediction, and of each repeat."""
        return figure(self.simulated, self.mine), [figure(run, self.mine) for run in self.measured]


def ttft_ms(run: SimResult | ReplayResult, mine: Bools) -> float:
    """Median time to first token, ms, of the finished requests that `mine` (requests,) marks."""
    return 1e3 * float(np.median(run.ttft_s[mine & run.done]))


def ttft_p90_ms(run: SimResult | ReplayResult, mine: Bools) -> float:
    """90th percentile of the time to first token, ms, of the same."""
    return 1e3 * float(np.percentile(run.ttft_s[mine & run.done], 90))


def tpot_ms(run: SimResult | ReplayResult, mine: Bools) -> float:
    """Median time per output token, ms, of the same."""
    return 1e3 * float(np.median(run.tpot_s[mine & run.done]))


def mean_tpot_ms(run: SimResult | ReplayResult, mine: Bools) -> float:
    """Mean time per output token, ms, of the same."""
    return 1e3 * float(np.mean(run.tpot_s[mine & run.done]))


def rps(run: SimResult | ReplayResult, mine: Bools) -> float:
    """Finished requests of `mine` a second, up to the last answer's end."""
    return float(np.count_nonzero(mine & run.done)) / float(np.nanmax(run.last_token_s))


def acceptance_length(run: SimResult | ReplayResult, mine: Bools) -> float:
    """Tokens a verify step, the target's own included; 1 where none was drafted."""
    done = mine & run.done
    steps = int(run.verify_steps[done].sum())
    return float((run.output_tokens[done] - 1).sum()) / steps if steps else 1.0


@dataclass(frozen=True, slots=True)
class Bench:
    """One model on this machine."""

    setup: LiveSetup  # model, limits of an engine with adapters, memory, all adapters
    profile: Profile
    duration_s: float = 1.5  # of a replay, where an experiment has six different ones
    repeats: int = 3
    seed: int = 0
    engines: Engines = field(default_factory=Engines)
    price_per_hour: float = 1.0  # USD, of one replica

    def plain(self) -> LiveSetup:
        """LoRA off."""
        off = {"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0}
        return replace(self.setup, limits=self.setup.limits.model_copy(update=off), adapters={}, preload=())

    def merged(self) -> LiveSetup:
        """LoRA off, one adapter merged into the weights."""
        return replace(self.plain(), merged=next(iter(self.setup.adapters.values())))

    def unmerged(
        self, deployed: int, *, used: int | None = None, cached: int | None = None, rank: int | None = None,
        slots: int | None = None,
    ) -> LiveSetup:  # fmt: skip
        """An engine with adapters; those used are warm: in host memory, and in slots as far as they fit."""
        rank = self.rank if rank is None else rank
        adapters = dict(list(self.setup.adapters.items())[:deployed])
        if rank != self.rank:
            folders = made_up_adapters(self.setup.model_dir, deployed, rank).values()
            adapters = dict(zip(adapters, folders, strict=True))
        slots = self.setup.limits.max_loras if slots is None else slots
        changed = {
            "max_loras": slots,
            "max_cpu_loras": max(slots, deployed if cached is None else cached),
            "max_lora_rank": rank,
        }
        warm = tuple(adapters)[: deployed if used is None else used]
        limits = self.setup.limits.model_copy(update=changed)
        return replace(self.setup, limits=limits, adapters=adapters, preload=warm[::-1])

    @property
    def rank(self) -> int:
        """Rank of adapters unless said otherwise."""
        return self.setup.limits.max_lora_rank

    @property
    def slots(self) -> int:
        """Slots unless said otherwise."""
        return self.setup.limits.max_loras

    @property
    def most(self) -> int:
        """Adapters that there are."""
        return len(self.setup.adapters)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that are tried; adapters of a large model are not made in several."""
        small = self.profile.models[0].model.parameters < _LARGE
        return tuple(sorted({8, self.rank, 64})) if small else (self.rank,)

    # ---------------------------------------------------------------------------------- traces

    def poisson(self, rate_rps: float, adapters: int, seconds: float, *, seed: int = 0) -> Trace:
        """Arrivals without memory, adapters evenly popular, prompts and answers of one length."""
        count = max(_LEAST_REQUESTS, round(rate_rps * seconds))
        random = np.random.default_rng([self.seed, seed, count])
        return self._trace(np.sort(random.random(count)) * count / rate_rps, adapters, random)

    def at_once(self, count: int, adapters: int) -> Trace:
        """All requests at the start."""
        return self._trace(np.zeros(count), adapters, np.random.default_rng([self.seed, count]))

    def waves(
        self, size: int, adapters: int, answer_tokens: int, prompt_tokens: int, seconds: float
    ) -> Trace:
        """Groups of requests that run together, each after the last has ended; as many as the time allows."""
        one = replace(
            self.at_once(size, adapters),
            prompt_tokens=np.full(size, prompt_tokens, dtype=np.int64),
            output_tokens=np.full(size, answer_tokens, dtype=np.int64),
        )
        setup = self.unmerged(adapters) if adapters else self.plain()
        gap_s = 1.6 * float(np.nanmax(self.predicted(Side(setup, one)).last_token_s)) + 0.01
        count = int(np.clip(seconds / gap_s, 1, 64))
        return replace(
            one,
            arrival_s=np.repeat(gap_s * np.arange(count), size),
            prompt_tokens=np.tile(one.prompt_tokens, count),
            output_tokens=np.tile(one.output_tokens, count),
            adapter=np.tile(one.adapter, count),
        )

    def _trace(self, arrival_s: NDArray[np.float64], adapters: int, random: np.random.Generator) -> Trace:
        count = len(arrival_s)
        adapter = np.full(count, BASE, dtype=np.int64)
        if adapters:  # each adapter as often as any other, in random order: the first so many are distinct
            adapter = np.concatenate([random.permutation(adapters) for _ in range(-(-count // adapters))])[
                :count
            ]
        return Trace(
            arrival_s=arrival_s,
            prompt_tokens=np.full(count, PROMPT_TOKENS, dtype=np.int64),
            output_tokens=np.full(count, ANSWER_TOKENS, dtype=np.int64),
            adapter=adapter.astype(np.int64),
            adapters=tuple(self.setup.adapters)[:adapters],
            name="claims",
        )

    def capacity_rps(self, setup: LiveSetup, adapters: int) -> float:
        """Requests a second of a burst, by prediction."""
        burst = self.at_once(16 * self.setup.limits.max_num_seqs, adapters)
        return len(burst) / float(np.nanmax(self.predicted(Side(setup, burst)).last_token_s))

    def replay_s(self, replays: int) -> float:
        """Seconds of one replay where the claim has so many different ones."""
        return max(_LEAST_S, 6.0 * self.duration_s / replays)

    # ---------------------------------------------------------------------------------- running

    def predicted(self, side: Side) -> SimResult:
        """What the simulator says."""
        return predict(self.profile, side.setup, side.trace, base=side.acceptance, seed=self.seed)

    def runs(self, sides: Mapping[str, Side]) -> dict[str, Runs]:
        """Simulate each side, and replay all in turns: drift of the machine meets all alike.

        Raises:
            MeasurementError: a request was not answered.
        """
        names = list(sides)
        measured: dict[str, list[ReplayResult]] = {name: [] for name in names}
        for repeat in range(self.repeats):
            for name in names[:: -1 if repeat % 2 else 1]:
                measured[name].append(self._replay(sides[name], repeat))
        return {
            name: Runs(
                self.predicted(side),
                tuple(measured[name]),
                np.ones(len(side.trace), dtype=np.bool_) if side.mine is None else side.mine,
            )
            for name, side in sides.items()
        }

    def _replay(self, side: Side, repeat: int) -> ReplayResult:
        engine = self.engines.ready(side.setup)
        ids = side.prompts
        if ids is None:
            ids = prompts_for(side.trace, engine.architecture.shape.vocab_size, self.seed + repeat)
        result = replay_engine(engine, side.trace, ids, seed=self.seed + repeat)
        if result.errors:
            said = ", ".join(f"{kind} ({count})" for kind, count in result.errors.items())
            raise MeasurementError(
                f"claims: requests were not answered: {said}. What was done before is kept."
            )
        return result


def to_base(trace: Trace) -> Trace:
    """The same requests to the base model, or to merged weights."""
    return replace(trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=())


def compare(
    setting: str,
    figure: tuple[str, Callable[[SimResult | ReplayResult, Bools], float]],
    first: tuple[str, Runs],
    second: tuple[str, Runs],
    *,
    unit: str = "ms",
    x: float | None = None,
) -> list[Row]:
    """Three rows: a figure of two sides, and the second over the first, repeat by repeat (judged).

    Args:
        setting: of both.
        figure: its name and how to read it.
        first: name and runs of what is compared with.
        second: name and runs of what is compared.
        unit: of the figure.
        x: place on the chart.
    """
    name, read = figure
    simulated, measured = first[1].of(read)
    other_simulated, other_measured = second[1].of(read)
    ratios = [b / a for a, b in zip(measured, other_measured, strict=True)]
    return [
        row(setting, f"{name}, {first[0]}", simulated, measured, unit=unit, x=x),
        row(setting, f"{name}, {second[0]}", other_simulated, other_measured, unit=unit, x=x),
        row(setting, f"{name} ratio", other_simulated / simulated, ratios, x=x, judged=True),
    ]


def ratios(rows: Sequence[Row], figure: str) -> list[Row]:
    """Judged rows of a figure."""
    return [one for one in rows if one.judged and one.figure == figure]
