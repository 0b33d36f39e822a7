"""Experiments on a very small model with random weights: real engine, real simulator, seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
from click.testing import CliRunner

from advisor.errors import InputError
from advisor.profile import Profile, save_profile
from advisor.replayed import ReplayResult
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from calibration.claims import whole
from calibration.claims.bench import Bench, Side, to_base, ttft_ms
from calibration.claims.loads import _rounds
from calibration.claims.money import replicas
from calibration.claims.result import Outcome
from calibration.claims.tenants import _beside
from calibration.claims.whole import CLAIMS, Asked, Claim, chosen, load_results, try_claims
from calibration.cli import main
from calibration.engine.options import EngineOptions
from calibration.livesetup import LiveSetup, set_threads
from calibration.microbench.run import Wish, calibrate_engine
from calibration.randomweights import write_model
from calibration.smallmodel import made_up_adapters

SHAPE = ModelShape(
    name="mini", hidden_size=32, layers=2, heads=4, kv_heads=2, head_dim=8, intermediate_size=48,
    vocab_size=97, tie_word_embeddings=True,
)  # fmt: skip
LIMITS = EngineLimits(
    max_num_seqs=4, max_num_batched_tokens=64, max_loras=2, max_cpu_loras=8, max_lora_rank=8,
    prefix_caching=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSetup]:
    set_threads(1)
    folder = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_ADVISOR_CACHE", str(folder / "cache"))
        model = write_model(SHAPE, folder / "mini", dtype="float32", max_positions=1024)
        yield LiveSetup(model, LIMITS, EngineOptions(kv_blocks=128), made_up_adapters(model, 8, 8))


@pytest.fixture(scope="module")
def profile(setup: LiveSetup) -> Profile:
    return calibrate_engine(Wish(setup.model_dir, LIMITS, setup.options, 1.0, ranks=(8,)))


@pytest.fixture
def bench(setup: LiveSetup, profile: Profile) -> Iterator[Bench]:
    made = Bench(setup, profile, duration_s=0.05, repeats=2)
    yield made
    made.engines.close()


def test_two_claims_live_and_a_run_that_was_cut_off_goes_on(
    setup: LiveSetup, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_bench: Bench) -> Outcome:
        raise KeyboardInterrupt

    asked = Asked(tmp_path, ("C1", "C2"), repeats=3, duration_s=0.05)
    with monkeypatch.context() as patch:
        patch.setitem(whole.CLAIMS, "C2", Claim(CLAIMS["C2"].statement, cut_off))
        with pytest.raises(KeyboardInterrupt):
            try_claims(asked, setup, profile)
    first = load_results(tmp_path)
    assert list(first) == ["C1"]
    found = try_claims(replace(asked, resume=True), setup, profile)
    assert [claim.claim for claim in found.claims] == ["C1", "C2"]
    assert found.claims[0] == first["C1"]
    assert load_results(tmp_path) == {claim.claim: claim for claim in found.claims}
    for claim in found.claims:
        for row in claim.outcome.rows:
            assert row.repeats == 3
            assert row.low <= row.measured <= row.high
    ratio = next(row for row in found.claims[0].outcome.rows if row.judged)
    assert 0.3 < ratio.measured < 30
    again = try_claims(replace(asked, resume=True, only=("C1",), seed=1), setup, profile)
    assert again.claims[0] != first["C1"], "a result of another wish must not be kept"


def test_each_request_of_a_round_finds_its_adapter_where_the_experiment_says(bench: Bench) -> None:
    """Further and further apart: where others take the cores, requests of a round meet and share a load."""
    engine_setup = replace(bench.unmerged(6, slots=1, cached=2), preload=())
    trace = _rounds(bench, 0.15)
    rounds = len(trace) // 4
    wanted = {"loads_from_disk": 2 * rounds, "loads_from_cpu": rounds}
    seen: list[dict[str, float]] = []
    for apart in (1.0, 8.0, 64.0):
        spread = replace(trace, arrival_s=apart * trace.arrival_s)
        runs = bench.runs({"one": Side(engine_setup, spread)})["one"]
        assert runs.simulated.loads_from_disk == 2 * rounds
        seen = [run.header.counters or {} for run in runs.measured]
        if all({name: counters[name] for name in wanted} == wanted for counters in seen):
            return
    pytest.fail(f"counted {seen} in each of {rounds} rounds, however far apart; expected {wanted}")


def test_sides_take_turns_and_the_base_loads_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    real = Bench._replay

    def noted(self: Bench, side: Side, repeat: int) -> ReplayResult:
        order.append(side.setup.limits.max_loras)
        return real(self, side, repeat)

    monkeypatch.setattr(Bench, "_replay", noted)
    trace = bench.at_once(6, 2)
    runs = bench.runs({"base": Side(bench.plain(), to_base(trace)), "tuned": Side(bench.unmerged(2), trace)})
    assert order == [0, 2, 2, 0]
    simulated, measured = runs["tuned"].of(ttft_ms)
    assert len(measured) == 2
    assert min(simulated, *measured) > 0
    counters = runs["base"].measured[0].header.counters
    assert counters is not None
    assert counters["load_s"] == 0


def test_bursts_have_each_adapter_as_often(bench: Bench) -> None:
    assert np.bincount(bench.at_once(9, 3).adapter).tolist() == [3, 3, 3]
    assert len(set(bench.at_once(8, 8).adapter[:8].tolist())) == 8
    assert (bench.at_once(4, 0).adapter == -1).all()


def test_joined_traces_keep_who_is_whose(bench: Bench) -> None:
    own, other = bench.poisson(20.0, 1, 1.0), bench.poisson(30.0, 1, 1.0, seed=1)
    trace, mine = _beside(own, other, ("a0", "a1"))
    assert len(trace) == len(own) + len(other)
    np.testing.assert_array_equal(trace.arrival_s[mine], own.arrival_s)
    np.testing.assert_array_equal(trace.arrival_s[~mine], other.arrival_s)
    assert set(trace.adapter[mine].tolist()) == {0}
    assert set(trace.adapter[~mine].tolist()) == {1}


def test_replicas_by_hand() -> None:
    assert [replicas(load, 2.0) for load in (0.1, 2.0, 2.1, 9.0)] == [1, 1, 2, 5]


def test_claims_are_chosen_by_number() -> None:
    assert chosen("c3, C1") == ("C3", "C1")
    assert chosen("all") == tuple(CLAIMS)
    with pytest.raises(InputError, match=r"--only is C0; allowed: all, or of C1, C2"):
        chosen("C0")


def test_the_command_refuses_a_profile_of_another_model(
    setup: LiveSetup, profile: Profile, tmp_path: Path
) -> None:
    other = profile.models[0].model.model_copy(update={"layers": 3})
    terms = profile.models[0].model_copy(update={"model": other})
    save_profile(profile.model_copy(update={"models": (terms,)}), tmp_path / "other.json")
    words = ["claims", "--model", str(setup.model_dir), "--only", "C1", "--budget", "1s"]
    words += ["--profile", str(tmp_path / "other.json"), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "other.json: is of mini; allowed: a profile of" in found.stderr
    assert "Traceback" not in found.stderr
