"""A live engine and the simulator told to be it: what time does not decide is equal, time is of one size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from advisor.errors import InputError
from advisor.profile import Profile
from advisor.replayed import ReplayResult
from advisor.sim.result import Floats, SimResult
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.trace.trace import BASE, Trace
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import NgramDraft
from calibration.livesetup import LiveSetup, set_threads
from calibration.microbench.run import Wish, calibrate_engine
from calibration.predict import predict
from calibration.randomweights import write_adapter, write_model
from calibration.replay.inprocess import replay_engine
from calibration.replay.prompts import prompts_for
from calibration.validate.matrix import Case, Variation
from calibration.validate.pulse import predict_at
from calibration.validate.run import Ground, capacity_rps, pulse_of, run_case

SHAPE = ModelShape(
    name="nano", hidden_size=32, layers=2, heads=4, kv_heads=2, head_dim=8, intermediate_size=48,
    vocab_size=97, tie_word_embeddings=True,
)  # fmt: skip
LIMITS = EngineLimits(
    max_num_seqs=6,
    max_num_batched_tokens=24,
    max_loras=2,
    max_cpu_loras=3,
    max_lora_rank=4,
    kv_block_tokens=4,
)
NAMES = tuple(f"a{index}" for index in range(5))


@dataclass(frozen=True)
class World:
    """A nano model, its adapters, its measured profile."""

    model: Path
    adapters: Mapping[str, Path]
    profile: Profile

    def setup(self, *, kv_blocks: int = 256, preload: tuple[str, ...] = (), **limits: int) -> LiveSetup:
        given = LIMITS.model_copy(update=limits)
        return LiveSetup(self.model, given, EngineOptions(kv_blocks), self.adapters, preload=preload)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    set_threads(1)
    root = tmp_path_factory.mktemp("world")
    model = write_model(SHAPE, root / "m", dtype="float32", max_positions=256)
    adapters = {
        name: write_adapter(SHAPE, root / name, 4, dtype="float32", seed=index)
        for index, name in enumerate(NAMES)
    }
    wish = Wish(model, LIMITS, EngineOptions(256), budget_s=0.2, ranks=(4,), drafts=(NgramDraft(3),))
    return World(model, adapters, calibrate_engine(wish))


def burst(count: int = 40, adapters: int = 5) -> Trace:
    """All at once: then no clock decides who is in which step."""
    random = np.random.default_rng(1)
    return Trace(
        np.zeros(count), random.integers(2, 50, count), random.integers(1, 14, count),
        random.integers(BASE, adapters, count), NAMES[:adapters], name="burst",
    )  # fmt: skip


def both(world: World, setup: LiveSetup, trace: Trace) -> tuple[ReplayResult, SimResult]:
    engine = setup.engine()
    try:
        live = replay_engine(engine, trace, prompts_for(trace, SHAPE.vocab_size))
    finally:
        engine.close()
    assert bool(live.done.all())
    return live, predict(world.profile, setup, trace)


@pytest.mark.parametrize(
    ("kv_blocks", "preload", "limits"),
    [
        (256, (), {}),
        (256, ("a4", "a3", "a0"), {}),
        (256, (), {"max_loras": 1, "max_cpu_loras": 1}),
        (256, NAMES, {"max_loras": 5, "max_cpu_loras": 5}),
        (30, (), {"prefix_caching": False}),  # too few blocks for six requests: some are preempted
    ],
)
def test_steps_loads_and_preemptions_of_a_burst_are_those_of_the_engine(
    world: World, kv_blocks: int, preload: tuple[str, ...], limits: dict[str, int]
) -> None:
    live, simulated = both(world, world.setup(kv_blocks=kv_blocks, preload=preload, **limits), burst())
    counters = live.header.counters
    assert counters is not None
    assert simulated.steps == counters["steps"]
    assert simulated.loads_from_disk == counters["loads_from_disk"]
    assert simulated.loads_to_slot == counters["loads_from_disk"] + counters["loads_from_cpu"]
    np.testing.assert_array_equal(simulated.preemptions, live.preemptions)
    if kv_blocks == 30:
        assert live.preemptions.sum() > 0
    for name in ("first_token_s", "last_token_s"):
        np.testing.assert_array_equal(order(getattr(simulated, name)), order(getattr(live, name)))


def order(times: np.ndarray) -> np.ndarray:
    """Rank of each request's time, equal where they shared a step."""
    return np.unique(np.round(times, 9), return_inverse=True)[1]


def test_time_of_a_burst_is_of_the_right_size(world: World) -> None:
    with pulse_of(Ground(world.setup(), world.profile)) as pulse:
        before = pulse.slowness()
        live, simulated = both(world, world.setup(preload=NAMES), burst(80))
        slowness = (before * pulse.slowness()) ** 0.5  # other work may hold the cores
    share = float(np.median(simulated.e2e_s) / np.median(live.e2e_s)) * slowness
    assert 0.4 < share < 2.5, f"the simulated engine is not this engine: {share}, {slowness}"
    assert live.header.counters is not None
    assert simulated.load_s > 0
    assert 0.1 < simulated.load_s / live.header.counters["load_s"] < 10


def test_a_profile_without_what_the_setup_needs_is_refused(world: World) -> None:
    bare = world.profile.models[0].model_copy(update={"lora": None, "drafts": ()})
    profile = world.profile.model_copy(update={"models": (bare,)})
    with pytest.raises(InputError, match="LoRA term"):
        predict(profile, world.setup(), burst())
    plain = world.setup(max_loras=0, max_cpu_loras=0, max_lora_rank=0)
    drafted = replace(plain, options=EngineOptions(256, draft=NgramDraft(3)), adapters={})
    with pytest.raises(InputError, match="drafting by ngram"):
        predict(profile, drafted, burst(adapters=0))


def test_a_scenario_end_to_end(world: World) -> None:
    case = Case(
        "made", 0.5, (Variation("two", max_loras=2), Variation("merged", merged=True)), 4, 1.0, 12, 8,
    )  # fmt: skip
    ground = Ground(world.setup(), world.profile, replays=2, duration_s=0.5)
    found = run_case(ground, case)
    assert [option.name for option in found.options] == ["two", "merged"]
    rate = 0.5 * capacity_rps(ground, case, first_of(ground, case))
    assert found.rate_rps == pytest.approx(rate)
    assert found.options[0].utilisation == pytest.approx(0.5 * np.mean(found.options[0].slowness))
    for option in found.options:
        assert option.predicted.answered == option.measured.answered == found.requests
        assert len(option.replays) == len(option.step_errors) == 2
        told = [(1 + error) * slow for error, slow in zip(option.step_errors, option.slowness, strict=True)]
        assert all(0.2 < one < 5.0 for one in told), told  # cores may be taken meanwhile: both say so
        assert set(option.curves) == set(option.distances) == {"ttft", "tpot", "e2e"}
    assert found.options[0].measured.load_s > 0
    assert found.options[1].measured.load_s == 0
    assert found.decision.chosen in ("two", "merged")


def first_of(ground: Ground, case: Case) -> LiveSetup:
    from calibration.validate.run import variant

    return variant(ground, case, case.options[0])


def test_a_slower_machine_is_predicted_as_if_every_term_took_longer(world: World) -> None:
    spread: Floats = 0.01 * np.arange(len(burst()), dtype=np.float64)
    trace = replace(burst(), arrival_s=spread)
    once, twice = (predict_at(world.profile, world.setup(), trace, slow, 0) for slow in (1.0, 2.0))
    plain = predict(world.profile, world.setup(), trace)
    assert np.array_equal(once.last_token_s, plain.last_token_s)
    assert twice.arrival_s.tolist() == trace.arrival_s.tolist()
    assert (twice.e2e_s > once.e2e_s).all()
    alone = replace(trace, arrival_s=6000.0 * spread)  # nobody waits for another
    quick, slow = (predict_at(world.profile, world.setup(), alone, by, 0) for by in (1.0, 2.0))
    assert slow.e2e_s == pytest.approx(2.0 * quick.e2e_s, rel=1e-6)


def test_the_pulse_is_what_the_profile_is_off_by(world: World) -> None:
    """A profile whose terms are all four times as long makes the machine look four times as fast."""
    found: dict[float, list[float]] = {1.0: [], 4.0: []}
    for factor in (1.0, 4.0) * 3:  # in turns: other work may hold the cores for a while
        slow = slower(world.profile.model_dump(mode="json"), factor)
        ground = Ground(world.setup(), Profile.model_validate_json(json.dumps(slow)))
        with pulse_of(ground) as pulse:
            found[factor].append(pulse.slowness())
    assert min(found[1.0]) / min(found[4.0]) == pytest.approx(4.0, rel=0.35)


def slower(value: Any, factor: float, name: str = "") -> Any:
    """All seconds of a profile, multiplied."""
    if isinstance(value, dict):
        named = {key: key if key.endswith("_s") else name for key in value}
        return {key: slower(inner, factor, named[key]) for key, inner in value.items()}
    if isinstance(value, list):
        return [slower(inner, factor, name) for inner in value]
    return value * factor if name.endswith("_s") and isinstance(value, float) else value
