"""`calibrate gpu`, rehearsed on the CPU at a nano model's shapes: every part, going on, a part that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from click.testing import CliRunner

from advisor.profile import load_profile
from calibration import gpurun
from calibration.cli import main
from calibration.randomweights import write_model
from tests.validate.test_predict import SHAPE

PARTS = ("profile-nano", "limits-nano", "replays", "claims")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(SHAPE, tmp_path_factory.mktemp("gpu") / "nano", dtype="float32", max_positions=256)


@pytest.fixture(scope="module")
def done(model: Path) -> tuple[Path, str]:
    """One whole run: folder and what was printed."""
    out = model.parent / "out"
    said = run(model, out)
    for _ in range(5):  # each run goes on where the budget of the one before ended
        if "no time left" in said:
            said = run(model, out).replace("kept", "done")
    return out, said


def run(model: Path, out: Path, budget: str = "30s") -> str:
    given = ["gpu", "--out", str(out), "--budget", budget, "--model", str(model), "--device", "cpu"]
    given += ["--dtype", "float32", "--max-num-seqs", "8", "--max-num-batched-tokens", "64"]
    given += ["--max-loras", "4", "--kv-blocks", "256"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_ADVISOR_CACHE", str(model.parent / "cache"))
        patch.setattr(gpurun, "_CLAIMS", ("C1", "C6"))  # tests/claims tries all of them
        found = CliRunner().invoke(main, given)
    assert found.exit_code == 0, found.output
    return found.output


def test_every_part_is_done_and_says_what_it_found(done: tuple[Path, str]) -> None:
    out, said = done
    assert [line.split()[0] for line in said.splitlines()] == list(PARTS)
    assert all(line.endswith("done") for line in said.splitlines()), said
    profile = load_profile(out / "nano.profile.json")
    assert profile.models[0].lora is not None
    limits = json.loads((out / "limits-nano.json").read_text())
    assert 0 < limits["off"]["decode_of_copy_bandwidth"] < 1.5
    replays = json.loads((out / "replays.json").read_text())
    assert replays["cases"][0]["options"][0]["measured"]["answered"] > 0
    claims = json.loads((out / "claims.json").read_text())["claims"]
    assert [claim["claim"] for claim in claims] == ["C1", "C6"]


def test_going_on_keeps_what_is_done(done: tuple[Path, str], model: Path) -> None:
    out, _ = done
    before = {file.name: file.read_bytes() for file in out.glob("*.json")}
    (out / "limits-nano.json").unlink()
    said = run(model, out).splitlines()
    assert [line.split()[-1] for line in said] == ["kept", "done", "kept", "kept"]
    after = {file.name: file.read_bytes() for file in out.glob("*.json")}
    assert [name for name in before if before[name] != after[name]] == ["limits-nano.json"]


def test_a_part_that_fails_is_named_and_the_others_go_on(model: Path, tmp_path: Path) -> None:
    """Without a profile nothing that needs one can be done, and each part says so."""
    (tmp_path / "profile-nano.json").write_text("{}")
    said = run(model, tmp_path, "9s").splitlines()
    assert said[0].endswith("kept")
    assert all("failed: " in line and "nano.profile.json" in line for line in said[1:]), said
    assert (tmp_path / "limits-nano.failed.txt").exists()
