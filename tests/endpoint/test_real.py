"""A real server, the live engine over HTTP: calibrated from outside, beside what the engine itself knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
pytest.importorskip("uvicorn", reason="no uvicorn; install the extra calibrate")
pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
import torch
from click.testing import CliRunner

from advisor.profile import Profile, load_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import Trace
from advisor.trace.writers import save_trace
from calibration.cli import main
from calibration.endpoint.predict import predict_server
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.requests import StepRecord
from calibration.livesetup import LiveSetup
from calibration.microbench.run import Wish, calibrate_engine
from calibration.randomweights import write_adapter, write_model
from calibration.replay.whole import Asked, replay_trace
from calibration.server.serve import ServeOptions, build, running
from calibration.validate.compare import figures_of
from calibration.validate.pulse import step_times

SHAPE = ModelShape(
    name="few", hidden_size=256, layers=3, heads=4, kv_heads=2, head_dim=64, intermediate_size=512,
    vocab_size=300, tie_word_embeddings=True,
)  # fmt: skip
LIMITS = EngineLimits(
    max_num_seqs=4, max_num_batched_tokens=64, max_loras=2, max_cpu_loras=2, max_lora_rank=8
)
KV_BLOCKS = 256


@dataclass(frozen=True)
class Measured:
    url: str
    setup: LiveSetup
    profile: Profile
    path: Path
    said: str
    steps: list[StepRecord]  # of the engine while it was probed
    engine: Engine


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("endpoint")
    model = write_model(SHAPE, root / "few", dtype="float32", max_positions=512)
    adapters = {
        name: write_adapter(SHAPE, root / name, 8, dtype="float32", seed=seed)
        for seed, name in enumerate(("x", "y", "z"))
    }
    setup = LiveSetup(model, LIMITS, EngineOptions(kv_blocks=KV_BLOCKS), adapters)
    options = ServeOptions(port=0, served_name="base", adapter_root=root)
    serving = build(setup, options)
    out = root / "seen.json"
    with running(serving, options) as url:
        done = CliRunner().invoke(
            main,
            [
                "endpoint", "--url", url, "--model", "base", "--shape", str(model), "--device", "cpu",
                *(part for name in "xyz" for part in ("--adapter", f"{name}={root / name}")),
                "--allow-adapter-churn", "--max-loras", "2", "--max-lora-rank", "8", "--max-num-seqs", "4",
                "--max-num-batched-tokens", "64", "--max-concurrency", "4", "--longest-prompt", "200",
                "--budget", "20s", "--max-requests", "180", "--out", str(out),
            ],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        steps = list(serving.loop.engine.books.steps)
        yield Measured(url, setup, load_profile(out), out, done.output, steps, serving.loop.engine)


def test_the_profile_says_what_was_seen_and_what_was_not(measured: Measured) -> None:
    profile = measured.profile
    terms = profile.models[0]
    assert (profile.method, profile.engine, profile.name) == ("endpoint", "vllm", "seen")
    assert terms.model.hidden_size == SHAPE.hidden_size
    assert terms.dense.origin is Origin.FITTED
    assert terms.head.origin is Origin.ESTIMATED
    assert profile.startup.origin is Origin.ESTIMATED
    assert terms.lora is not None
    assert profile.residual is not None
    assert all(np.diff(terms.dense.y_s) >= 0)
    assert "Taken off every first token" in measured.said
    lines = measured.path.with_suffix(".samples.jsonl").read_text(encoding="utf-8").splitlines()
    facts, *records = (json.loads(line) for line in lines)
    kinds = {r["sample"]["kind"] for r in records if "sample" in r}
    assert {"ttft", "decode"} <= kinds <= {"ttft", "decode", "beside", "held_out"}
    assert {r["load"]["heat"] for r in records if "load" in r} == {"warm", "disk", "churn"}
    assert facts["facts"]["cached_tokens"] == 0


def test_its_clock_gives_the_engines_own_step_times(measured: Measured) -> None:
    """The very steps that ran while the server was probed; its own times, which no client sees."""
    clock = ProfileClock(measured.profile, measured.profile.models[0], LIMITS)
    steps = [step for step in measured.steps if step.load_s < 1e-4]
    ratios = [clock.parts(step.batch).total / (step.end_s - step.start_s) for step in steps]
    prompts = np.array([bool(step.batch.chunks) for step in steps])
    adapters = np.array([step.batch.adapters > 0 for step in steps])
    found = np.array(ratios)
    for kind in (~prompts & ~adapters, ~prompts & adapters, prompts):
        assert kind.sum() > 20
        # A client's gaps hold the server's own work too, and what else the machine does meanwhile.
        assert 0.4 < float(np.median(found[kind])) < 6


def test_its_terms_are_those_of_the_engines_microbenchmark(measured: Measured) -> None:
    wish = Wish(measured.setup.model_dir, LIMITS, measured.setup.options, budget_s=0.2, ranks=(8,))
    own = calibrate_engine(wish)
    mine, theirs = (ProfileClock(p, p.models[0], LIMITS) for p in (measured.profile, own))
    ratios = [
        mine.parts(batch).total / theirs.parts(batch).total
        for batch in (
            Batch(1, 40, outputs=1),
            Batch(4, 160, outputs=4),
            Batch(4, 160, outputs=4, adapters=2),
            Batch(0, 0, ((64, 0),), 1),
            Batch(0, 0, ((64, 64),), 1, adapters=1),
        )
    ]
    assert 0.4 < float(np.exp(np.mean(np.log(ratios)))) < 3.0  # shared, noisy cores


def test_it_predicts_a_trace_that_it_never_saw(measured: Measured, tmp_path: Path) -> None:
    draws = np.random.default_rng(3)
    count = 40
    trace = Trace(
        np.cumsum(draws.exponential(0.1, count)), draws.integers(20, 120, count),
        draws.integers(2, 16, count), np.arange(count) % 3 - 1, ("x", "y"), name="unseen",
    )  # fmt: skip
    path = tmp_path / "unseen.csv"
    save_trace(trace, path)
    asked = Asked(str(path), tmp_path / "r.parquet", url=measured.url, model="base", vocab=SHAPE.vocab_size)
    before = measured.engine.books.counters.steps
    live = figures_of(replay_trace(asked, None))
    steps = list(measured.engine.books.steps)[before - measured.engine.books.counters.steps :]
    clock = ProfileClock(measured.profile, measured.profile.models[0], LIMITS)
    took_s, foreseen_s = step_times(clock, steps)
    slowness = took_s / foreseen_s  # the machine then; 1 where nobody else computes
    assert 0.25 < slowness < 4
    predicted = figures_of(
        predict_server(
            measured.profile, LIMITS, trace, kv_blocks=KV_BLOCKS, warm=("x", "y"), slowness=slowness
        )
    )
    assert live.answered == count
    for latency in ("ttft_s", "tpot_s", "e2e_s"):
        ratio = getattr(predicted, latency)["p50"] / getattr(live, latency)["p50"]
        assert 0.4 < ratio < 2.5, latency


def test_the_advisor_takes_the_profile(measured: Measured, tmp_path: Path) -> None:
    from advisor.cli.root import root as advisor

    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "seen.json").write_text(measured.path.read_text(encoding="utf-8"), encoding="utf-8")
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        f"""
schema_version: 1
name: seen
model: {measured.setup.model_dir}
adapters: {{count: 2, rank: 8}}
workload:
  kind: generator
  arrivals: {{kind: poisson, rate: 1 req/s}}
  prompt_tokens: {{kind: lognormal, median: 40, p95: 80, maximum: 100}}
  output_tokens: {{kind: lognormal, median: 8, p95: 16, maximum: 20}}
  duration: 20s
objective:
  slos: [{{metric: ttft, percentile: 95, limit: 60s}}]
""",
        encoding="utf-8",
    )
    done = CliRunner().invoke(
        advisor,
        ["simulate", str(scenario), "--way", "multi-lora", "--max-loras", "2", "--json",
         "--device", measured.profile.device.name, "--profiles", str(profiles)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["option"]
