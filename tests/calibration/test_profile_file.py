"""The profile's file format, version 1: the golden file is never edited; every bad file is a clear sentence.

To add a golden file for a later version, save a profile with every field set and keep the old file as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.profile import load_profile, save_profile

GOLDEN = Path(__file__).parent / "golden" / "profile_v1.json"


def test_the_golden_file_is_read() -> None:
    profile = load_profile(GOLDEN)
    terms = profile.models[0]
    assert profile.schema_version == 1
    assert terms.dense.x == (1.0, 2.0, 64.0, 2048.0)
    assert terms.lora is not None
    assert terms.lora.per_slot_prompt_token_s == 1e-7
    assert terms.drafts[0].acceptance.tokens_per_step(3) == pytest.approx(2.25)
    assert profile.load("cpu_to_slot").seconds(51.2e6) == pytest.approx(0.008)


def test_writing_what_was_read_gives_the_same_bytes(tmp_path: Path) -> None:
    save_profile(load_profile(GOLDEN), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == GOLDEN.read_bytes()


def test_numbers_of_a_list_share_a_line() -> None:
    lines = GOLDEN.read_text().splitlines()
    assert '    "x": [1.0, 2.0, 64.0, 2048.0],' in lines


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    raw = json.loads(GOLDEN.read_text()) | {"schema_version": 2}
    with pytest.raises(InputError, match="newer version of LoRA Advisor; upgrade"):
        load_profile(_written(tmp_path, raw))


def _set(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(raw: Any) -> None:
        for part in path[:-1]:
            raw = raw[part]
        raw[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("host", "fixed_s", to=-1.0), "host.fixed_s is -1"),
        (_set("host", "fixed_s", to="1 ms"), "host.fixed_s is '1 ms'"),
        (_set("device", "memory_bytes", to=0), "device.memory_bytes is 0"),
        (_set("device", "memory_bytes", to=float("nan")), "device.memory_bytes is nan"),
        (_set("device", "memory_bytes", to=float("inf")), "device.memory_bytes is inf"),
        (_set("models", 0, "dense", "x", to=[1.0, 1.0, 64.0, 2048.0]), "x must rise and match y_s"),
        (_set("models", 0, "dense", "interval", to=[1.1, 1.2]), "interval must enclose 1.0"),
        (_set("models", 0, "attn_prefill", "seconds", to=[[1e-5]]), "grid of new_tokens rows"),
        (_set("models", 0, "attn_decode", "fixed_s", to=[1e-5]), "must have the same length"),
        (_set("models", 0, "tensor_parallel", to=1.5), "tensor_parallel is 1.5"),
        (_set("loads", to=[]), "loads must hold cpu_to_slot and disk_to_cpu once each"),
        (_set("hosts", to={}), "no such field; did you mean host"),
        (_set("created", to="yesterday"), "created is 'yesterday'"),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, change: Callable[[Any], None], says: str) -> None:
    raw = json.loads(GOLDEN.read_text())
    change(raw)
    with pytest.raises(InputError) as error:
        load_profile(_written(tmp_path, raw))
    assert says in str(error.value)
    assert "p.json" in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "is empty"), ("{", "not valid JSON"), ("[]", "holds a JSON list"), ("\x00\x01", "not valid JSON")],
)
def test_bad_files_are_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(InputError, match=says) as error:
        load_profile(path)
    assert len(error.value.sentences) == 1


def test_a_truncated_file_and_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(GOLDEN.read_text()[:500])
    with pytest.raises(InputError, match="not valid JSON"):
        load_profile(path)
    with pytest.raises(InputError, match="no such file"):
        load_profile(tmp_path / "none.json")
    with pytest.raises(InputError, match="is a folder"):
        load_profile(tmp_path)


def _written(folder: Path, raw: Any) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps(raw))
    return path
