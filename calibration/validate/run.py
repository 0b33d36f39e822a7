"""One scenario: predict, replay several times, compare. Read `run_case` first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import Field

from advisor.profile import Profile
from advisor.replayed import ReplayResult
from advisor.spec.spec import Spec
from advisor.trace.trace import Trace
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.livesetup import LiveSetup
from calibration.predict import predict, replica_of
from calibration.replay.inprocess import replay_engine
from calibration.replay.prompts import prompts_for
from calibration.validate.compare import (
    Curves,
    Distance,
    Figures,
    curves,
    distances,
    figures_of,
    median_figures,
)
from calibration.validate.matrix import Case, Variation, trace_of
from calibration.validate.pulse import Pulse, predict_at, step_times
from calibration.validate.verdict import Cell, Decision, cells_of, decide

Tell = Callable[[str], None]
_STEP_ERROR: Final = "step_error"
_SLOWNESS: Final = "slowness"
_PULSED: Final = Case("pulse", 0.0, (), adapters=4)


class OptionResult(Spec):
    """One option, predicted and measured."""

    name: str
    utilisation: float = Field(description="Offered load over this option's predicted capacity then.")
    predicted: Figures = Field(description="Median of the predictions, one for each replay's slowness.")
    foreseen: Figures = Field(
        description="Predicted for a machine as fast as the profile's: what is chosen by."
    )
    measured: Figures = Field(description="Median of the replays, figure by figure.")
    replays: tuple[Figures, ...]
    cells: tuple[Cell, ...]
    distances: dict[str, Distance] = Field(description="Prediction to first replay.")
    noise: dict[str, Distance] = Field(description="First replay to second.")
    client_late: bool
    step_errors: tuple[float, ...] = Field(
        (),
        description="For each replay: the profile's time for the very batches that ran, over their measured "
        "time, less one. Where replays differ, the machine's speed did.",
    )
    slowness: tuple[float, ...] = Field(
        (),
        description="For each replay: times that a fixed load took beside it, over the profile's for it.",
    )
    curves: dict[str, Curves] = Field(default_factory=dict, description="Latency -> distributions.")


class CaseResult(Spec):
    """One scenario."""

    name: str
    model: str
    rate_rps: float
    requests: int
    duration_s: float
    options: tuple[OptionResult, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Ground:
    """What all scenarios of a validation share."""

    setup: LiveSetup  # the usual engine, with all adapters there are
    profile: Profile
    drafts: Mapping[str, Path] = field(default_factory=dict)  # "stock" -> model folder
    texts: Callable[[int, int, int], Sequence[Sequence[int]]] | None = None  # (count, tokens, seed)
    replays: int = 2
    duration_s: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A scenario with everything that its replays need."""

    case: Case
    setups: Mapping[str, LiveSetup]  # by option, those that can be run here
    trace: Trace
    prompts: Sequence[Sequence[int]]
    rate_rps: float

    def asked(self, option: str) -> Trace:
        """The trace as this option is asked."""
        return _as_asked(self.trace, self.setups[option])


def run_case(ground: Ground, case: Case, tell: Tell = lambda _: None) -> CaseResult:
    """Predict and replay every option of a scenario on one trace, the replays in turn."""
    planned = plan_case(ground, case)
    runs: dict[str, list[ReplayResult]] = {name: [] for name in planned.setups}
    with pulse_of(ground) as pulse:
        for turn in range(ground.replays):
            for name in planned.setups:
                tell(f"{case.name}: {name}, replay {turn + 1}")
                runs[name].append(replay_option(ground, planned, name, turn, pulse))
    return judge_case(ground, planned, runs)


def pulse_of(ground: Ground) -> Pulse:
    """The usual engine with a few adapters, for the load that is measured beside replays."""
    return Pulse(variant(ground, _PULSED, Variation("pulse")), ground.profile)


def plan_case(ground: Ground, case: Case) -> Planned:
    """Set-ups, load and requests."""
    setups = {
        option.name: variant(ground, case, option) for option in case.options if _usable(ground, option)
    }
    rate = case.load * capacity_rps(ground, case, next(iter(setups.values())))
    trace = trace_of(case, rate, ground.duration_s, _longest(ground), ground.seed)
    return Planned(case, setups, trace, _prompts(ground, case, trace), rate)


def replay_option(ground: Ground, planned: Planned, name: str, turn: int, pulse: Pulse) -> ReplayResult:
    """One live replay on a fresh engine.

    The counter `step_error` is the profile's error on its steps, `slowness` the machine's beside it.
    """
    setup, trace = planned.setups[name], planned.asked(name)
    clock = replica_of(ground.profile, setup, trace).clock
    engine = setup.engine()
    before = pulse.slowness()
    try:
        result = replay_engine(engine, trace, planned.prompts, seed=ground.seed + turn)
        counters = dict(result.header.counters or {})
        count = int(counters["steps"])
        steps = list(engine.books.steps)[-count:] if count else []
    finally:
        engine.close()
    counters[_SLOWNESS] = (before + pulse.slowness()) / 2
    took_s, foreseen_s = step_times(clock, steps)
    counters[_STEP_ERROR] = foreseen_s / took_s - 1.0 if took_s > 0 else 0.0
    return replace(result, header=result.header.model_copy(update={"counters": counters}))


def judge_case(ground: Ground, planned: Planned, runs: Mapping[str, Sequence[ReplayResult]]) -> CaseResult:
    """Hold the predictions to the replays."""
    case = planned.case
    results = [_option(ground, planned, name, runs[name]) for name in planned.setups]
    decision = decide(
        {result.name: figure(result.foreseen, case.objective) for result in results},
        {result.name: [figure(one, case.objective) for one in result.replays] for result in results},
        case.objective,
    )
    return CaseResult(
        name=case.name,
        model=ground.setup.model_dir.name,
        rate_rps=planned.rate_rps,
        requests=len(planned.trace),
        duration_s=ground.duration_s,
        options=tuple(results),
        decision=decision,
    )


def _option(ground: Ground, planned: Planned, name: str, runs: Sequence[ReplayResult]) -> OptionResult:
    setup, trace = planned.setups[name], planned.asked(name)
    slowness = tuple((run.header.counters or {}).get(_SLOWNESS, 1.0) for run in runs)
    predicted = [predict_at(ground.profile, setup, trace, slow, ground.seed) for slow in slowness]
    figures = [figures_of(run) for run in runs]
    measured = median_figures(figures)
    expected = median_figures([figures_of(one) for one in predicted])
    return OptionResult(
        name=name,
        utilisation=planned.rate_rps / capacity_rps(ground, planned.case, setup) * float(np.mean(slowness)),
        predicted=expected,
        foreseen=figures_of(predict(ground.profile, setup, trace, seed=ground.seed)),
        measured=measured,
        replays=tuple(figures),
        cells=cells_of(expected, measured, figures),
        distances=distances(predicted[0], runs[0]),
        noise=distances(runs[0], runs[1]) if len(runs) > 1 else {},
        client_late=any(run.header.client_late for run in runs),
        step_errors=tuple((run.header.counters or {}).get(_STEP_ERROR, 0.0) for run in runs),
        slowness=slowness,
        curves=curves(predicted[0], runs),
    )


def variant(ground: Ground, case: Case, option: Variation) -> LiveSetup:
    """The engine of an option."""
    setup = ground.setup
    slots = option.max_loras or (min(8, case.adapters) if case.adapters and not option.merged else 0)
    names = tuple(setup.adapters)[: case.adapters] if slots else ()
    limits = setup.limits.model_copy(
        update={
            "max_loras": slots,
            "max_cpu_loras": max(option.max_cpu_loras or len(names), slots),
            "max_lora_rank": setup.limits.max_lora_rank if slots else 0,
            "max_num_batched_tokens": option.max_num_batched_tokens or setup.limits.max_num_batched_tokens,
        }
    )
    draft: NgramDraft | ModelDraft | None = None
    if option.draft == "ngram":
        draft = NgramDraft(3)
    elif option.draft and option.draft in ground.drafts:
        draft = ModelDraft(3, ground.drafts[option.draft])
    return LiveSetup(
        setup.model_dir,
        limits,
        replace(setup.options, draft=draft),
        {name: setup.adapters[name] for name in names},
        merged=next(iter(setup.adapters.values())) if option.merged else None,
        preload=tuple(reversed(names)) if case.warm else (),
    )


def _usable(ground: Ground, option: Variation) -> bool:
    return option.draft in ("", "ngram") or option.draft in ground.drafts


def capacity_rps(ground: Ground, case: Case, setup: LiveSetup) -> float:
    """Requests a second that an option finishes when all are there at once, by prediction."""
    trace = trace_of(case, 300.0, 1.0, _longest(ground), ground.seed + 1)
    burst = replace(trace, arrival_s=np.zeros(len(trace)))
    done = predict(ground.profile, setup, _as_asked(burst, setup), seed=ground.seed)
    return len(trace) / float(np.nanmax(done.last_token_s))


def _as_asked(trace: Trace, setup: LiveSetup) -> Trace:
    """Merged weights are asked for as the base."""
    if setup.adapters or not trace.adapters:
        return trace
    return replace(trace, adapter=np.full(len(trace), -1, dtype=np.int64), adapters=())


def _longest(ground: Ground) -> int:
    held = ground.setup.options.kv_blocks * ground.setup.limits.kv_block_tokens
    return min(512, held // 2)


def _prompts(ground: Ground, case: Case, trace: Trace) -> Sequence[Sequence[int]]:
    if case.text and ground.texts is not None:
        found = ground.texts(len(trace), int(trace.prompt_tokens.max()), ground.seed)
        lengths = trace.prompt_tokens.tolist()
        return [list(text[:length]) for text, length in zip(found, lengths, strict=True)]
    vocab = ground.profile.models[0].model.vocab_size
    return prompts_for(trace, vocab, ground.seed)


def figure(figures: Figures, name: str) -> float:
    """A figure by its name, such as `e2e p90`."""
    latency, percentile = name.split()
    value: float = getattr(figures, f"{latency}_s")[percentile]
    return value
