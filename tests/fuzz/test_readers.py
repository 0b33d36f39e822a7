"""Whatever a file holds, a reader returns or says one sentence: never another error, never a traceback.

Real files, spoiled: bytes changed, cut out or doubled; in JSON and YAML also values replaced at any depth.
`LORA_ADVISOR_FUZZ=5000 pytest tests/fuzz` tries that many of each; 25 else.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisor.errors import AdvisorError
from advisor.profile import load_profile
from advisor.replayed import load_replay
from advisor.spec.huggingface import model_from_config
from advisor.spec.peft import adapter_from_folder
from advisor.spec.scenario import load_scenario
from advisor.study.grid import load_study
from advisor.trace.readers import load_trace
from advisor.web.address import unpacked
from calibration.results.read import read_any

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("LORA_ADVISOR_FUZZ", "25"))
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
ADAPTER = {
    "peft_type": "LORA",
    "r": 16,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "v_proj"],
    "base_model_name_or_path": "base",
}
BENCH = {
    "date": "20261101-000000",
    "backend": "vllm",
    "num_prompts": 10,
    "completed": 10,
    "duration": 5.0,
    "request_rate": 2.0,
    "mean_ttft_ms": 50.0,
    "median_ttft_ms": 45.0,
    "mean_tpot_ms": 10.0,
    "total_input_tokens": 1000,
    "total_output_tokens": 500,
}
STUDY = {
    "schema_version": 1,
    "scenario": "s.yaml",
    "choice": {"way": "multi-lora", "device": "L40S"},
    "grid": {"load": [1, 2], "adapters": [4]},
}
SCENARIO = (ROOT / "data" / "scenarios" / "bursts-at-night.yaml").read_text(encoding="utf-8")
CSV = "arrival_s,prompt_tokens,output_tokens,adapter\n" + "\n".join(
    f"{i},{i + 1},{i + 2},a" for i in range(20)
)

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        2**70,
        "",
        "x" * 300,
        "\x00",
        [],
        {},
        [[]],
        {"a": []},
    ]
)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"arrival_s": [0.0, 1.0], "prompt_tokens": [1, 2], "output_tokens": [3, 4]}), sink
    )
    return bytes(sink.getvalue())


@st.composite
def spoiled_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """A file with some of its bytes changed, cut out or doubled; or only noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(1, 40)))
        data[at:end] = draw(
            st.one_of(st.just(b""), st.just(bytes(data[at:end]) * 2), st.binary(min_size=1, max_size=8))
        )
    return bytes(data)


@st.composite
def spoiled_value(draw: st.DrawFn, good: Any) -> Any:
    """Plain data with values replaced, removed or moved at some depth."""
    value = deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        here = value
        while isinstance(here, dict | list) and here:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 2)):
                here = here[key]
                continue
            if isinstance(here, dict) and draw(st.booleans()):
                here[draw(st.sampled_from(["", "kind", "rate", "é", "__class__"]))] = here.pop(key)
            else:
                here[key] = deepcopy(draw(ODD))
            break
    return value


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value).encode()


def profile_value() -> Any:
    return json.loads(next((ROOT / "data" / "profiles").glob("l40s-vllm*.json")).read_text(encoding="utf-8"))


FILES: dict[str, tuple[Callable[[Path], object], str, Callable[[], bytes]]] = {
    "scenario": (load_scenario, "s.yaml", SCENARIO.encode),
    "study": (load_study, "study.yaml", lambda: as_yaml(STUDY)),
    "model": (model_from_config, "config.json", lambda: as_json(LLAMA)),
    "results": (read_any, "r.json", lambda: as_json(BENCH)),
    "trace in CSV": (load_trace, "t.csv", CSV.encode),
    "trace in Parquet": (load_trace, "t.parquet", parquet),
    "replay": (load_replay, "r.parquet", parquet),
    "adapter": (
        lambda file: adapter_from_folder(file.parent),
        "adapter_config.json",
        lambda: as_json(ADAPTER),
    ),
}
VALUES: dict[str, tuple[Callable[[Path], object], str, Callable[[Any], bytes], Callable[[], Any]]] = {
    "scenario": (load_scenario, "s.yaml", as_yaml, lambda: yaml.safe_load(SCENARIO)),
    "study": (load_study, "study.yaml", as_yaml, lambda: STUDY),
    "profile": (load_profile, "p.json", as_json, profile_value),
    "model": (model_from_config, "config.json", as_json, lambda: LLAMA),
    "results": (read_any, "r.json", as_json, lambda: BENCH),
    "adapter": (
        lambda file: adapter_from_folder(file.parent),
        "adapter_config.json",
        as_json,
        lambda: ADAPTER,
    ),
}
SLOW = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


def said(read: Callable[[Path], object], file: Path, content: bytes) -> None:
    """Read; an error must be one of ours, in sentences without a line break."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    message = ""
    try:
        read(file)
    except AdvisorError as error:
        message = str(error)
    assert "Traceback" not in message


@pytest.mark.parametrize("what", FILES)
@SLOW
@given(data=st.data())
def test_spoiled_bytes(tmp_path_factory: pytest.TempPathFactory, what: str, data: st.DataObject) -> None:
    read, name, good = FILES[what]
    said(read, tmp_path_factory.getbasetemp() / f"bytes {what}" / name, data.draw(spoiled_bytes(good())))


@pytest.mark.parametrize("what", VALUES)
@SLOW
@given(data=st.data())
def test_spoiled_values(tmp_path_factory: pytest.TempPathFactory, what: str, data: st.DataObject) -> None:
    read, name, write, good = VALUES[what]
    content = write(data.draw(spoiled_value(good())))
    said(read, tmp_path_factory.getbasetemp() / f"values {what}" / name, content)


@pytest.mark.parametrize("what", FILES)
def test_what_is_spoiled_was_good_or_is_refused_for_a_reason(tmp_path: Path, what: str) -> None:
    """The files that the others spoil are read, but for two that lack what their reader asks for."""
    read, name, good = FILES[what]
    (tmp_path / name).write_bytes(good())
    if what == "replay":
        with pytest.raises(AdvisorError):
            read(tmp_path / name)
    else:
        read(tmp_path / name)


@SLOW
@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
@example(base64.urlsafe_b64encode(zlib.compress(b"x" * 10_000_000)).decode())
@example(base64.urlsafe_b64encode(zlib.compress(b"\xff\xfe")).decode())
def test_an_address_is_read_or_refused(code: str) -> None:
    message = "the address"
    try:
        unpacked(code)
    except AdvisorError as error:
        message = str(error)
    assert message.startswith("the address")
