"""The shipped model in a real llama.cpp. Opt-in: LORA_ADVISOR_LLAMA names the folder that `install` built."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from advisor.datafiles import data_dir
from advisor.errors import MeasurementError
from benchmarks import _llama

FOLDER = os.environ.get("LORA_ADVISOR_LLAMA", "")
ADAPTERS = ("shout", "json")
TOKENS = 24
needs_server = pytest.mark.skipif(not FOLDER, reason="LORA_ADVISOR_LLAMA names no folder with llama.cpp")


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def url(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, made, models = Path(FOLDER), tmp_path_factory.mktemp("gguf"), data_dir() / "models"
    base = _llama.converted(folder, ["model", str(models / "base")], made / "base.gguf")
    loras = [
        _llama.converted(
            folder,
            ["adapter", str(models / "adapters" / name), "--base", str(models / "base")],
            made / f"{name}.gguf",
        )
        for name in ADAPTERS
    ]
    program = folder / "build" / "bin" / "llama-server"
    with _llama.server(program, base, port, made / "log", ["-np", "2", "-c", "1024"], loras) as address:
        yield address


def asked(url: str, prompt: list[int], chosen: str | None) -> list[int]:
    scales = [{"id": place, "scale": float(name == chosen)} for place, name in enumerate(ADAPTERS)]
    body = {
        "prompt": prompt, "n_predict": TOKENS, "temperature": 0, "ignore_eos": True, "cache_prompt": False,
        "return_tokens": True, "lora": scales,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens: list[int] = json.load(answer)["tokens"]
        return tokens


@needs_server
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("chosen", [None, *ADAPTERS])
def test_greedy_answers_are_those_of_transformers_and_peft(url: str, chosen: str | None) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    models = data_dir() / "models"
    model = transformers.AutoModelForCausalLM.from_pretrained(models / "base", dtype=torch.float32)
    if chosen is not None:
        model = peft.PeftModel.from_pretrained(model, models / "adapters" / chosen)
    draws = np.random.default_rng(0)
    for _ in range(4):
        prompt = draws.integers(150, 1000, 20).tolist()
        theirs = model.generate(
            input_ids=torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False, suppress_tokens=[0],
            pad_token_id=0,
        )[0, 20:].tolist()  # fmt: skip
        assert asked(url, prompt, chosen) == theirs


def test_what_cannot_be_installed_is_said_with_the_last_lines(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho Looking in indexes\necho ERROR: nothing for cmake >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(MeasurementError, match=r"installing cmake.* failed; .*ERROR: nothing for cmake"):
        _llama.install(tmp_path, 1)
    assert not (tmp_path / "build").exists()
