"""Microbenchmarks on a tiny model: real measurements, terms that follow from them, files that go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from click.testing import CliRunner

from advisor.errors import InputError
from advisor.fitted import Fitted
from advisor.profile import Profile, load_profile, save_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from advisor.steptime.clock import ProfileClock
from calibration.cli import main
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import NgramDraft
from calibration.livesetup import LiveSetup
from calibration.microbench.bench import Bench
from calibration.microbench.check import drift
from calibration.microbench.operations import ladder, points
from calibration.microbench.run import Wish, calibrate_engine, fingerprint
from calibration.microbench.samples import Samples
from calibration.microbench.show import fitted, pairs, read_samples, report, write_plot
from calibration.microbench.steps import HELD_OUT, batch_of
from calibration.microbench.terms import Mark, load_terms, micro_terms, scaled
from calibration.randomweights import write_adapter, write_model

SHAPE = ModelShape(
    name="nano", hidden_size=32, layers=2, heads=4, kv_heads=2, head_dim=8, intermediate_size=48,
    vocab_size=97, tie_word_embeddings=True,
)  # fmt: skip
LIMITS = EngineLimits(
    max_num_seqs=4,
    max_num_batched_tokens=32,
    max_loras=2,
    max_cpu_loras=2,
    max_lora_rank=8,
    kv_block_tokens=4,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(SHAPE, tmp_path_factory.mktemp("nano") / "m", dtype="float32", max_positions=256)


def wish(model: Path, **more: Any) -> Wish:
    return Wish(model, LIMITS, EngineOptions(kv_blocks=128), **{"budget_s": 0.2, "ranks": (8,), **more})


@pytest.fixture(scope="module")
def measured(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Profile, Path]:
    folder = tmp_path_factory.mktemp("measured")
    profile = calibrate_engine(wish(model, drafts=(NgramDraft(3),)), folder / "p.samples.jsonl")
    profile = profile.model_copy(update={"name": "p", "raw": {"samples": "p.samples.jsonl"}})
    save_profile(profile, folder / "p.json")
    return profile, folder / "p.json"


def test_the_profile_has_every_term_and_says_where_it_comes_from(measured: tuple[Profile, Path]) -> None:
    profile = load_profile(measured[1])
    terms = profile.models[0]
    assert (profile.engine, profile.method) == ("builtin", "microbench")
    assert terms.lora is not None
    assert terms.lora.per_adapter_s + terms.lora.per_weight_byte_s + terms.lora.fixed_s > 0
    assert profile.load("disk_to_cpu").seconds(1e4) > profile.load("cpu_to_slot").seconds(1e4)
    assert [draft.method for draft in terms.drafts] == ["ngram"]
    assert terms.dense.origin is Origin.MEASURED
    assert profile.host.origin is Origin.FITTED
    assert profile.residual is not None
    assert profile.residual.points > 20
    assert all(np.diff(terms.dense.y_s) >= 0)
    samples = read_samples(*measured)
    assert {p["top_p"] for p, _ in samples.of("sample")} == {1.0, 0.9}
    for way in ("temperature", "temperature and top-p"):
        assert any(note.startswith(f"Sampling by {way}, ") for note in profile.notes)


def test_its_clock_predicts_steps_that_no_fit_saw(measured: tuple[Profile, Path]) -> None:
    profile, path = measured
    samples = read_samples(profile, path)
    clock = ProfileClock(profile, profile.models[0], LIMITS)
    held = [step for step in samples.steps if step["run"].startswith(HELD_OUT)]
    ratios = [clock.parts(batch_of(step)).total / step["s"] for step in held]
    assert 0.5 < float(np.median(ratios)) < 2.0  # shared cores: see docs/validation.md
    fitted = {step["run"] for step in samples.steps if not step["run"].startswith(HELD_OUT)}
    assert len(fitted) >= 12


def test_an_interrupted_run_goes_on_and_measures_nothing_twice(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"

    class StoppedError(Exception):
        pass

    def stop(share: float, what: str) -> None:
        if "engine steps" in what:
            raise StoppedError

    with pytest.raises(StoppedError):
        calibrate_engine(wish(model), path, progress=stop)
    before = path.read_text(encoding="utf-8")
    path.write_text(before[:-9], encoding="utf-8")  # the last line was cut off
    calibrate_engine(wish(model), path, resume=True)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    runs = [line["run"] for line in lines if "run" in line]
    assert len(runs) == len(set(runs))
    assert path.read_text(encoding="utf-8").startswith(before[: before.rfind("\n", 0, -9)])


def test_samples_of_something_else_are_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    Samples(path, fingerprint(wish(model)))
    with pytest.raises(InputError, match="allowed with --resume"):
        Samples(path, fingerprint(wish(model, seed=5)), resume=True)


def test_points_cover_the_range_and_each_is_there_once(model: Path) -> None:
    bench = Bench.of(model, "cpu", "auto", LIMITS, 128)
    found = points(bench, (4, 8))
    keys = [(p.operation, tuple(sorted(p.parameters.items()))) for p in found]
    assert len(keys) == len(set(keys))
    dense = sorted(p.parameters["tokens"] for p in found if p.operation == "dense")
    assert dense == ladder(32) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    lora = [p.parameters for p in found if p.operation == "lora"]
    assert {p["rank"] for p in lora} == {4, 8}
    assert {p["adapters"] for p in lora} == {1, 2}
    assert len({p["slots"] for p in lora}) == 2
    assert not [p for p in found if p.operation == "host_copy"]  # there is no device to copy to
    for point in found:
        point.prepare()()


def synthetic() -> Samples:
    samples = Samples(None, {})
    point: dict[str, float]
    for tokens in (1, 8, 32):
        samples.add("dense", {"tokens": tokens}, 1e-3 + 1e-5 * tokens)
        samples.add("head", {"rows": tokens}, 1e-4)
    for sequences in (1, 4):
        for context in (16, 64):
            seconds = 1e-5 * sequences + 2e-7 * sequences * context
            samples.add("decode_attention", {"sequences": sequences, "new": 1, "context": context}, seconds)
    for new in (1, 16):
        for context in (0, 64):
            seconds = 1.32e-5 + 1e-6 * new  # a decode on 16 tokens beside it
            samples.add("prefill_attention", {"sequences": 1, "new": new, "context": context}, seconds)
    for tokens in (2, 8, 32):
        for adapters in (1, 2):
            for rank in (4, 8):
                point = {"tokens": tokens, "adapters": adapters, "rank": rank, "slots": 2}
                samples.add("lora", point, 1e-4 + 5e-5 * adapters + 1e-7 * tokens * rank)
    for rank in (2, 8):
        samples.add("disk_warm", {"rank": rank, "padded_rank": 8}, 1e-3 + rank * 1e-4)
        samples.add("slot", {"padded_rank": rank}, 1e-5 * rank)
    return samples


def test_terms_are_what_the_samples_were_made_of() -> None:
    mark = Mark("made up", SHAPE)
    terms = micro_terms(synthetic(), mark)
    assert terms.dense.y_s == pytest.approx((1.01e-3, 1.08e-3, 1.32e-3))
    assert terms.attn_decode.per_context_token_s == pytest.approx((2e-7, 2e-7))
    assert terms.attn_decode.fixed_s == pytest.approx((1e-5, 4e-5))
    assert terms.attn_prefill.seconds[1] == pytest.approx((1.6e-5, 1.6e-5))
    lora = terms.lora
    assert lora is not None
    assert lora.per_adapter_s == pytest.approx(5e-5, rel=0.02)
    assert lora.per_token_rank_s == pytest.approx(1e-7, rel=0.02)
    disk, slot = load_terms(synthetic(), mark)
    assert disk.fixed_s == pytest.approx(1e-3)
    assert slot.fixed_s == pytest.approx(0, abs=1e-9)
    doubled = scaled(terms, {"dense": 2.0, "attention": 3.0, "lora": 0.5})
    assert doubled.dense.y_s[0] == pytest.approx(2 * terms.dense.y_s[0])
    assert doubled.attn_prefill.seconds[0][0] == pytest.approx(3 * terms.attn_prefill.seconds[0][0])
    assert doubled.lora is not None
    assert doubled.lora.per_adapter_s == pytest.approx(0.5 * lora.per_adapter_s)


def test_show_prints_and_plots_measured_beside_fitted(measured: tuple[Profile, Path], tmp_path: Path) -> None:
    profile, path = measured
    samples = read_samples(profile, path)
    text = report(profile, samples)
    for word in ("dense", "decode_attention", "lora", "disk_warm", "prompts, adapters"):
        assert word in text
    assert len(pairs(profile, samples)) == sum(not step["gamma"] for step in samples.steps)
    told = Fitted.model_validate_json(fitted(profile, samples).model_dump_json())
    assert {point.term for point in told.points} == {"dense", "head", "attention", "lora"}
    assert len(told.steps) == len(pairs(profile, samples))
    assert {step.seen for step in told.steps} == {True, False}
    write_plot(profile, samples, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(InputError, match=r"ends in \.html or \.svg"):
        write_plot(profile, samples, tmp_path / "p.png")


def test_check_measures_the_same_points_again(measured: tuple[Profile, Path], model: Path) -> None:
    profile, path = measured
    rows = drift(profile, path, LiveSetup(model, LIMITS, EngineOptions(kv_blocks=128)))
    assert {"dense", "head", "lora", "decode_attention"} <= {row.operation for row in rows}
    assert all(0.05 < row.ratio < 20 for row in rows)


def test_a_made_up_model_and_adapter_are_what_the_engine_reads(model: Path, tmp_path: Path) -> None:
    before = (model / "model.safetensors").stat().st_mtime_ns
    assert write_model(SHAPE, model, dtype="float32", max_positions=256) == model
    assert (model / "model.safetensors").stat().st_mtime_ns == before  # an equal one is kept
    folder = write_adapter(SHAPE, tmp_path / "a", 4, dtype="float32")
    setup = LiveSetup(model, LIMITS, EngineOptions(kv_blocks=128), {"a": folder}, preload=("a",))
    engine = setup.engine()
    assert engine.adapters == ("a",)
    assert engine.books.counters.loads_from_disk == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--budget", "60"], "--budget is '60'"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--draft", "missing"], "missing"),
    ],
)
def test_bad_options_are_one_sentence(arguments: list[str], said: str, model: Path, tmp_path: Path) -> None:
    given = ["run", "--model", str(model), "--budget", "1s", "--out", str(tmp_path / "p.json"), *arguments]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "p.json").exists()


def test_the_command_writes_a_profile_and_keeps_an_old_file(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    given = [
        "run", "--model", str(model), "--budget", "0.2s", "--out", str(out), "--max-num-seqs", "2",
        "--max-num-batched-tokens", "16", "--kv-blocks", "64", "--max-loras", "0",
    ]  # fmt: skip
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    profile = load_profile(out)
    assert profile.models[0].lora is None
    assert "engine steps that no fit saw" in done.output
    again = CliRunner().invoke(main, given)
    assert again.exit_code == 2
    assert "exists" in again.output
