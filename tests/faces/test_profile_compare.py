"""`advisor profile compare`: several profiles side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.cli.failures import run
from advisor.cli.root import root
from advisor.profile import Profile, load_profile, save_profile
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.tables import compared

ROOT = Path(__file__).parents[2]
H100 = ROOT / "data" / "profiles" / "h100_sxm-vllm.json"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "180")

    def call(*args: str) -> tuple[int, str, str]:
        code = run(root, "advisor", args)
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def h100() -> Profile:
    return load_profile(H100)


@pytest.fixture
def twice(h100: Profile, tmp_path: Path) -> Path:
    """The H100 with layers twice as slow, no LoRA term and nothing to hold it against."""
    terms = next(t for t in h100.models if t.model.name == "Qwen3-8B" and t.tensor_parallel == 1)
    dense = terms.dense.model_copy(update={"y_s": tuple(2.0 * y for y in terms.dense.y_s)})
    models = (terms.model_copy(update={"dense": dense, "lora": None}),)
    path = tmp_path / "twice.json"
    save_profile(h100.model_copy(update={"name": "twice", "models": models, "residual": None}), path)
    return path


def test_steps_and_ratios_are_those_of_the_clocks(cli: Run, h100: Profile, twice: Path) -> None:
    code, out, err = cli("profile", "compare", "h100_sxm-vllm", str(twice), "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["schema_version"], told["model"], told["tensor_parallel"]) == (1, "Qwen3-8B", 1)
    first, second = told["profiles"]
    terms = next(t for t in h100.models if t.model.name == "Qwen3-8B" and t.tensor_parallel == 1)
    clock = ProfileClock(h100, terms, compared._LIMITS)
    step = clock.parts(Batch(32, 32 * 1024, outputs=32))
    assert first["seconds"]["decode_32"] == pytest.approx(step.total)
    assert second["seconds"]["decode_32"] == pytest.approx(step.total + step.dense)
    assert second["ratio_to_first"]["decode_32"] == pytest.approx(1 + step.dense / step.total)
    assert set(first["ratio_to_first"].values()) == {1.0}


def test_what_a_profile_lacks_is_null_and_a_dash(cli: Run, twice: Path) -> None:
    _, out, _ = cli("profile", "compare", "h100_sxm-vllm", str(twice), "--json")
    first, second = json.loads(out)["profiles"]
    assert first["seconds"]["lora_decode_32"] > 0
    assert second["seconds"]["lora_decode_32"] is None
    assert second["ratio_to_first"]["lora_decode_32"] is None
    assert "lora" in first["terms"]
    assert "lora" not in second["terms"]
    assert second["residual"] is None
    code, text, _ = cli("profile", "compare", "h100_sxm-vllm", str(twice))
    assert code == 0
    line = next(line for line in text.splitlines() if "LoRA adds: prompt" in line)
    assert line.split()[-2:] == ["–", "–"]


def test_the_text_says_origins_residuals_and_seconds(cli: Run) -> None:
    code, text, _ = cli("profile", "compare", "h100_sxm-vllm", "l40s-vllm", "--model", "Llama-3.1-8B")
    assert code == 0
    assert "estimated × 0.3 to 1.3" in text
    assert "TPOT of closed loops" in text
    assert "1.18×" in next(line for line in text.splitlines() if "CPU to slot" in line)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("h100_sxm-vllm",), "is one profile; allowed: two or more"),
        (("h100_sxm-vllm", "nowhere"), "profile 'nowhere' is not there; allowed: "),
        (("h100_sxm-vllm", "l40s-vllm", "--tensor-parallel", "16"), "have no model in common"),
        (("h100_sxm-vllm", "l40s-vllm", "--model", "Lama-3.1-8B"), "Llama-3.1-8B"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(cli: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = cli("profile", "compare", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
