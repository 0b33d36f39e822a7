"""LLMServingSim's tables: both layouts, the terms by known truth, and what cannot be used."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.errors import InputError
from advisor.profile import Profile, load_profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from calibration.cli import main
from calibration.importers.serving_sim import import_serving_sim
from calibration.importers.serving_sim_files import read_tables

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = (1, 16, 64, 256, 1024, 2048)
PROMPTS, CONTEXTS = (16, 256, 2048), (0, 512, 2048)
SEQUENCES, EACH = (1, 8, 64), (64, 256, 1024, 4096)
LAYERS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "act_fn", "rotary_emb", "layernorm")


def _us(tokens: int) -> float:
    return 10.0 + 0.1 * tokens


def _attention() -> list[str]:
    """Alone: 5 + 0.002 C microseconds; beside a prompt: 20 + 0.01 C on top of it."""
    rows = []
    for prompt in (0, *PROMPTS):
        for before in CONTEXTS if prompt else (0,):
            chunk = 0.05 * prompt + 0.01 * before
            if prompt:
                rows.append(f"{prompt},{before},0,0,{chunk}")
            for count in SEQUENCES:
                for each in EACH:
                    context = count * each
                    added = 20 + 0.01 * context if prompt else 5 + 0.002 * context
                    rows.append(f"{prompt},{before},{count},{each},{chunk + added}")
    return rows


def _tables() -> dict[str, tuple[str, list[str]]]:
    dense = [f"{layer},{t},{_us(t)}" for layer in LAYERS for t in TOKENS]
    dense += [f"{layer},{t},3.0" for layer in ("embedding", "final_layernorm") for t in TOKENS]
    rows = [f"lm_head,{r},{100 + r}" for r in (1, 16, 256)] + [f"sampler,{r},20" for r in (1, 16, 256)]
    return {
        "dense": ("layer,tokens,time_us", dense),
        "attention": ("prefill_chunk,kv_prefill,n_decode,kv_decode,time_us", _attention()),
        "per_sequence": ("layer,sequences,time_us", rows),
    }


@pytest.fixture
def native(tmp_path: Path) -> Path:
    """The profiler's own layout."""
    place = tmp_path / "RTX4090" / "meta-llama" / "Llama-3.1-8B" / "bf16"
    (place / "tp1").mkdir(parents=True)
    (place / "meta.yaml").write_text(
        "profiler_version: 1.0.0\nvllm_version: 0.19.0\nprofiled_at: '2026-08-17T19:43:32+00:00'\n"
    )
    for name, (head, rows) in _tables().items():
        (place / "tp1" / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    return tmp_path


@pytest.fixture
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several GPUs in one table each, gzipped."""
    folder = tmp_path_factory.mktemp("together")
    for name, (head, rows) in _tables().items():
        start = "RTX4090,meta-llama/Llama-3.1-8B,1,"
        text = "\n".join([f"gpu,model,tp,{head}", *(start + row for row in rows)]) + "\n"
        (folder / f"llmservingsim_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    meta = {"profiler_version": "1.0.0", "vllm_version": "0.19.0", "profiled_at": "2026-08-17T19:43:32"}
    (folder / "llmservingsim_meta.json").write_text(json.dumps({"RTX4090/meta-llama/Llama-3.1-8B": meta}))
    return folder


def _profile(folder: Path) -> Profile:
    return import_serving_sim(folder, "RTX4090", created=CREATED, producer="test")


def test_a_step_is_the_sum_of_the_kernels_of_every_layer(native: Path) -> None:
    profile = _profile(native)
    (terms,) = profile.models
    clock = ProfileClock(profile, terms, EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048))
    parts = clock.parts(Batch(8, 8 * 1000, outputs=8))
    assert parts.dense == pytest.approx(1e-6 * (32 * 8 * _us(8) + 3), rel=2e-3)  # six kernels and two norms
    assert parts.head == pytest.approx(1e-6 * (108 + 20 + 3), rel=1e-2)
    assert parts.attention == pytest.approx(32e-6 * (5 + 0.002 * 8000), rel=1e-3)
    beside = clock.parts(Batch(8, 8 * 1000, ((256, 512),), 9)).attention
    assert beside == pytest.approx(32e-6 * (0.05 * 256 + 0.01 * 512 + 20 + 0.01 * 8000), rel=1e-3)


def test_both_layouts_give_the_same_terms(native: Path, together: Path) -> None:
    assert _profile(native).models == _profile(together).models


def test_the_command_writes_a_profile_with_source_version_and_licence(together: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    done = CliRunner().invoke(
        main, ["import", "llmservingsim", str(together), "--gpu", "RTX4090", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    profile = load_profile(out)
    assert (profile.name, profile.engine_version, profile.device.name) == ("mine", "0.19.0", "RTX 4090")
    dense = profile.models[0].dense
    assert dense.licence == "MIT"
    assert "profiler 1.0.0 of 2026-08-17" in dense.source
    assert profile.models[0].lora is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: (p / "meta.yaml").write_text("profiler_version: 2.0\n"), "profiler_version is 2.0"),
        (lambda p: (p / "tp1" / "attention.csv").unlink(), "has no attention.csv"),
        (lambda p: (p / "tp1" / "dense.csv").write_text("layer,tokens\n"), "lacks the column time_us"),
        (lambda p: (p / "tp1" / "dense.csv").write_text("layer,tokens,time_us\nqkv_proj,1,-3\n"), "above 0"),
        (lambda p: (p / "tp1" / "dense.csv").write_text("layer,tokens,time_us\nmoe,1,3\n"), "no layer qkv"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_say_why(native: Path, spoil: object, words: str) -> None:
    spoil(native / "RTX4090" / "meta-llama" / "Llama-3.1-8B" / "bf16")  # type: ignore[operator]
    with pytest.raises(InputError, match=words):
        import_serving_sim(
            native, "RTX4090", created=CREATED, producer="t", models=("meta-llama/Llama-3.1-8B",)
        )


def test_gpu_and_model_that_are_not_there_are_named(native: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--gpu is H100; allowed: RTX4090"):
        import_serving_sim(native, "H100", created=CREATED, producer="t")
    with pytest.raises(
        InputError, match="has no tables of RTX4090, other, TP 1; allowed: RTX4090 meta-llama"
    ):
        read_tables(native, "RTX4090", "other", 1)
    with pytest.raises(InputError, match="holds no tables"):
        import_serving_sim(tmp_path / "RTX4090" / "meta-llama", "H100", created=CREATED, producer="t")


@pytest.mark.data
def test_published_tables_cover_what_a_step_needs(shared_data: Path) -> None:
    profile = _profile(shared_data / "gpu")
    (terms,) = profile.models
    assert terms.attn_mixed is not None
    clock = ProfileClock(profile, terms, EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048))
    full = clock.parts(Batch(0, 0, ((2048, 0),), 1)).total
    assert full == pytest.approx(0.200, rel=0.05)  # full prompt steps of the published run
    decodes = [clock.parts(Batch(n, n * 1000, outputs=n)).total for n in range(1, 65)]
    assert np.all(np.diff(decodes) > -1e-4)
