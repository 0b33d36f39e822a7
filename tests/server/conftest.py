from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
pytest.importorskip("uvicorn", reason="no uvicorn; install the extra calibrate")
pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.spec.engine import EngineLimits
from calibration.engine.options import EngineOptions
from calibration.livesetup import LiveSetup
from calibration.server.serve import ServeOptions, build, running
from tests.engine.models import save_adapter, save_model


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("served")
    return {
        "model": save_model(root / "model", "llama"),
        "plain": save_adapter(root / "adapters" / "plain", "llama", seed=1),
        "other": save_adapter(root / "adapters" / "other", "llama", seed=2),
        "root": root / "adapters",
    }


def setup_of(folders: dict[str, Path], **limits: Any) -> LiveSetup:
    given: dict[str, Any] = {
        "max_num_seqs": 8, "max_num_batched_tokens": 64, "kv_block_tokens": 4, "max_loras": 2,
        "max_cpu_loras": 4, "max_lora_rank": 8,
    }  # fmt: skip
    return LiveSetup(
        folders["model"],
        EngineLimits(**{**given, **limits}),
        EngineOptions(kv_blocks=256),
        {"plain": folders["plain"]},
    )


@pytest.fixture(scope="module")
def address(folders: dict[str, Path]) -> Iterator[str]:
    options = ServeOptions(port=0, served_name="base", adapter_root=folders["root"], max_outstanding=50)
    with running(build(setup_of(folders), options), options) as url:
        yield url
