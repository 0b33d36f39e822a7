"""What is calibrated: fingerprints, given adapters, LoRA by default, what a resumed run measures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from click.testing import CliRunner

from advisor.errors import InputError
from advisor.profile import load_profile
from calibration.cli import main
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import ModelDraft
from calibration.livesetup import LiveSetup
from calibration.microbench.adapters import load_files, ranks_of, slot_files
from calibration.microbench.check import drift
from calibration.microbench.run import Wish, calibrate_engine, fingerprint
from calibration.microbench.wish import check_place, place
from calibration.randomweights import write_adapter, write_model
from tests.microbench.test_microbench import LIMITS, SHAPE

OPTIONS = EngineOptions(kv_blocks=128)
SMALL = ["--max-num-seqs", "2", "--max-num-batched-tokens", "16", "--kv-blocks", "64", "--max-lora-rank", "4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(SHAPE, tmp_path_factory.mktemp("nano") / "m", dtype="float32", max_positions=256)


def wider(folder: Path) -> Path:
    shape = SHAPE.model_copy(update={"intermediate_size": 64})
    return write_model(shape, folder / "m", dtype="float32", max_positions=256)


def test_a_fingerprint_is_of_the_model_not_of_its_folder(model: Path, tmp_path: Path) -> None:
    wish = Wish(model, LIMITS, OPTIONS)
    copied = shutil.copytree(model, tmp_path / "another-name")
    assert fingerprint(replace(wish, model_dir=copied)) == fingerprint(wish)
    other = wider(tmp_path)  # the folder has the same name
    assert fingerprint(replace(wish, model_dir=other))["model"] != fingerprint(wish)["model"]
    assert fingerprint(replace(wish, options=replace(OPTIONS, dtype="float32"))) == fingerprint(wish)
    assert fingerprint(replace(wish, options=replace(OPTIONS, dtype="bfloat16"))) != fingerprint(wish)
    assert fingerprint(replace(wish, ranks=(2,))) != fingerprint(wish)
    drafts = [fingerprint(replace(wish, drafts=(ModelDraft(3, folder),))) for folder in (model, other)]
    assert drafts[0] != drafts[1]


def test_adapters_are_in_the_fingerprint_and_are_what_is_loaded(model: Path, tmp_path: Path) -> None:
    given = write_adapter(SHAPE, tmp_path / "sql", 6, dtype="float32")
    wish = Wish(model, LIMITS, OPTIONS, adapters={"sql": given})
    assert fingerprint(wish)["adapters"][0]["rank"] == 6
    files = load_files(wish, SHAPE, tmp_path / "made", "float32")
    assert given in [file.folder for file in files]
    assert len({file.rank for file in files}) > 1
    assert slot_files(wish, SHAPE, tmp_path / "made", "float32")["sql"] == given
    assert 6 in ranks_of(model, LIMITS, {"sql": given})
    large = write_adapter(SHAPE, tmp_path / "large", 16, dtype="float32")
    with pytest.raises(InputError, match="rank is 16; allowed: at most 8"):
        fingerprint(replace(wish, adapters={"large": large}))


def test_check_refuses_another_model_device_dtype_and_threads(model: Path, tmp_path: Path) -> None:
    now = place(model, OPTIONS)
    check_place(now, now, "p.json")
    other = place(wider(tmp_path), OPTIONS)
    with pytest.raises(InputError, match="model is one of"):
        check_place(other, now, "p.json")
    for field, value in (("device", "cuda"), ("dtype", "bfloat16"), ("threads", 64), ("machine", "another")):
        with pytest.raises(InputError, match=f"{field} is {value}; asked"):
            check_place({**now, field: value}, now, "p.json")
    check_place({**now, "torch": "1.0"}, now, "p.json")  # whether it holds on a new torch is the question


def command(model: Path, out: Path, *more: str) -> Sequence[str]:
    return ["run", "--model", str(model), "--budget", "0.2s", "--out", str(out), *SMALL, *more]


def test_run_times_lora_by_default_and_resumes_only_what_is_missing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    done = CliRunner().invoke(main, command(model, out))
    assert done.exit_code == 0, done.output
    profile = load_profile(out)
    assert profile.models[0].lora is not None
    assert profile.load("disk_to_cpu").fixed_s > 0
    samples = out.with_suffix(".samples.jsonl")
    before = samples.read_text(encoding="utf-8").splitlines()
    out.unlink()
    refused = CliRunner().invoke(main, command(model, out))
    assert refused.exit_code == 2
    assert "add --resume to go on" in refused.output
    assert samples.read_text(encoding="utf-8").splitlines() == before
    again = CliRunner().invoke(main, command(model, out, "--resume"))
    assert again.exit_code == 0, again.output
    added = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()[len(before) :]]
    assert all("fact" in record for record in added), added
    assert load_profile(out).models[0].lora == profile.models[0].lora
    rows = drift(profile, out, LiveSetup(model, LIMITS, EngineOptions(kv_blocks=64)))
    assert {"disk_warm", "slot", "steps"} <= {row.operation for row in rows}
    assert all(row.allowed >= 0.15 for row in rows)


def test_ranks_above_the_slots_are_timed_where_they_are_asked_for(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    calibrate_engine(Wish(model, LIMITS, OPTIONS, 0.1, ranks=(4, 16)), path)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {r["rank"] for r in records if r.get("op") == "lora"} == {4.0, 8.0, 16.0}  # the slots hold 8


def test_no_lora_leaves_kernels_and_loads_out(model: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, command(model, tmp_path / "p.json", "--no-lora"))
    assert done.exit_code == 0, done.output
    text = (tmp_path / "p.samples.jsonl").read_text(encoding="utf-8")
    assert '"op": "lora"' not in text
    assert '"op": "slot"' not in text
