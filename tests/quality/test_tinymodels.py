"""The trained family as it is shipped: its weights, on text that its training did not hold."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
pytest.importorskip("peft", reason="no peft; install the extra reference")
pytest.importorskip("transformers", reason="no transformers; install the extra reference")

import torch
from safetensors.torch import load_file

from benchmarks.train_models import STYLES, documentation, loss_of, restyled, split, tokens, unseen
from calibration import tinymodels
from calibration.livesetup import set_threads

set_threads(1)
# peft asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def held_out(style: str) -> str:
    file = tinymodels.model_dir().parent / "held-out" / f"{style}.txt"
    return file.read_text(encoding="utf-8")


def network(folder: Path, adapter: Path | None = None) -> Any:
    import peft
    import transformers

    kind: Any = transformers.LlamaForCausalLM
    tuned: Any = peft.PeftModel
    found = kind.from_pretrained(folder, dtype=torch.float32)
    return (found if adapter is None else tuned.from_pretrained(found, str(adapter))).eval()


@pytest.fixture(scope="module")
def base() -> Any:
    return network(tinymodels.model_dir())


def ids(style: str) -> Any:
    return tokens(tinymodels.tokenizer(), [held_out(style)])[:4096]


def test_the_base_knows_its_text(base: Any) -> None:
    assert loss_of(base, ids("base")) < 0.5 * math.log(1024)  # half of a uniform guess, in nats


@pytest.mark.parametrize("style", STYLES)
def test_the_weights_of_an_adapter_and_its_draft_know_their_style(style: str, base: Any) -> None:
    text = ids(style)
    tuned = loss_of(network(tinymodels.model_dir(), tinymodels.adapter_dirs()[style]), text)
    assert tuned < loss_of(base, text) - 1.0
    drafts = tinymodels.draft_dirs()
    assert loss_of(network(drafts[style]), text) < loss_of(network(drafts["stock"]), text) - 1.0
    metrics = json.loads((tinymodels.model_dir().parent / "metrics.json").read_text(encoding="utf-8"))
    assert tuned == pytest.approx(metrics[style]["held_out_loss"], abs=0.15)  # the card's, on other windows


def test_no_training_saw_the_held_out_text() -> None:
    metrics = json.loads((tinymodels.model_dir().parent / "metrics.json").read_text(encoding="utf-8"))
    if platform.python_version() != metrics["python"]:
        pytest.skip(f"the text of Python {metrics['python']}, which trained them, is needed")
    training, held = split(documentation())
    for style in ("base", *STYLES):
        seen = {text if style == "base" else restyled(text, style) for text in training}
        shipped = held_out(style).split("\n\n")
        assert len(shipped) > 40
        assert not seen.intersection(shipped)
    assert len(unseen(held, training)) < len(held)  # topics do repeat each other


def test_a_paragraph_that_training_holds_within_another_is_no_held_out_text() -> None:
    inner = "The quick brown fox jumps over the lazy dog, again and again, until it is tired of it."
    other = "Something else altogether, long enough that its windows of fifty characters can be told apart."
    assert unseen([inner, other, other], [f"Before. {inner} After."]) == [other]


def test_the_family_is_small_and_in_bf16() -> None:
    root = tinymodels.model_dir().parent
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) < 12e6
    files = sorted(root.rglob("*.safetensors"))
    assert len(files) == 8
    assert {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.bfloat16}
