"""Whatever a file holds, a reader returns or says one sentence: never another error, never a traceback.

Real files, spoiled: bytes changed, cut out or doubled; in JSON and YAML also values replaced at any depth.
`LORA_ADVISOR_FUZZ=5000 pytest tests/fuzz` tries that many of each; 25 else.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from collections.abc import Callable
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
from advisor.trace.fitted import load_fitted
from advisor.trace.readers import load_trace
from advisor.web.address import unpacked
from calibration.results.read import read_any
from calibration.results.runstable import read_runs_table
from tests.fuzz.spoil import spoiled_bytes, spoiled_value

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
REPLAY = ROOT / "tests" / "replay" / "golden" / "replay_v1.parquet"
RUNS = (
    "name,completed,duration_s,mean_prompt_tokens,mean_output_tokens,ttft_mean_ms\n"
    "one,100,50,100,20,50\ntwo,90,50,100,20,50\n"
)
CSV = "arrival_s,prompt_tokens,output_tokens,adapter\n" + "\n".join(
    f"{i},{i + 1},{i + 2},a" for i in range(20)
)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"arrival_s": [0.0, 1.0], "prompt_tokens": [1, 2], "output_tokens": [3, 4]}), sink
    )
    return bytes(sink.getvalue())


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=False).encode()


def as_lines(value: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in value)


def golden(name: str) -> Any:
    text = (ROOT / "tests" / "results" / "golden" / name).read_text(encoding="utf-8")
    return [json.loads(row) for row in text.splitlines()] if name.endswith("l") else json.loads(text)


def fitted_value() -> Any:
    whole = json.loads((ROOT / "data" / "workloads" / "azure_code_2023.json").read_text(encoding="utf-8"))
    return {**whole, "clients": whole.get("clients", [])[:2]}


def fitted(file: Path) -> object:
    return load_fitted(file.name, file.parent)


def profile_value() -> Any:
    return json.loads(next((ROOT / "data" / "profiles").glob("l40s-vllm*.json")).read_text(encoding="utf-8"))


FILES: dict[str, tuple[Callable[[Path], object], str, Callable[[], bytes]]] = {
    "scenario": (load_scenario, "s.yaml", SCENARIO.encode),
    "study": (load_study, "study.yaml", lambda: as_yaml(STUDY)),
    "model": (model_from_config, "config.json", lambda: as_json(LLAMA)),
    "results": (read_any, "r.json", lambda: as_json(BENCH)),
    "trace in CSV": (load_trace, "t.csv", CSV.encode),
    "trace in Parquet": (load_trace, "t.parquet", parquet),
    "trace, packed": (load_trace, "t.csv.gz", lambda: gzip.compress(CSV.encode(), mtime=0)),
    "replay": (load_replay, "r.parquet", REPLAY.read_bytes),
    "table of runs": (read_runs_table, "runs.csv", RUNS.encode),
    "adapter": (
        lambda file: adapter_from_folder(file.parent),
        "adapter_config.json",
        lambda: as_json(ADAPTER),
    ),
}
TRACE = [{"arrival_s": i / 2, "prompt_tokens": 9, "output_tokens": i + 1, "adapter": "a"} for i in range(4)]
MOONCAKE = [
    {"timestamp": 900 * i, "input_length": 700, "output_length": 9, "hash_ids": [0, i]} for i in range(4)
]
VALUES: dict[str, tuple[Callable[[Path], object], str, Callable[[Any], bytes], Callable[[], Any]]] = {
    "scenario": (load_scenario, "s.yaml", as_yaml, lambda: yaml.safe_load(SCENARIO)),
    "study": (load_study, "study.yaml", as_yaml, lambda: STUDY),
    "profile": (load_profile, "p.json", as_json, profile_value),
    "model": (model_from_config, "config.json", as_json, lambda: LLAMA),
    "results": (read_any, "r.json", as_json, lambda: BENCH),
    "vllm bench": (read_any, "r.json", as_json, lambda: golden("vllm_bench.json")),
    "sglang": (read_any, "r.jsonl", as_lines, lambda: golden("sglang.jsonl")),
    "guidellm": (read_any, "r.json", as_json, lambda: golden("guidellm.json")),
    "aiperf": (read_any, "r.jsonl", as_lines, lambda: golden("aiperf.jsonl")),
    "aiperf's summary": (read_any, "r.json", as_json, lambda: golden("aiperf_sums.json")),
    "trace in JSONL": (load_trace, "t.jsonl", as_lines, lambda: TRACE),
    "trace of Mooncake": (load_trace, "t.jsonl", as_lines, lambda: MOONCAKE),
    "fitted workload": (fitted, "w.json", as_json, fitted_value),
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
    assert message.replace("\n", "").isprintable(), (
        "no half of a surrogate pair, nothing that steers a terminal"
    )


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
def test_files_that_are_spoiled_were_good(tmp_path: Path, what: str) -> None:
    read, name, good = FILES[what]
    (tmp_path / name).write_bytes(good())
    read(tmp_path / name)


@pytest.mark.parametrize("what", VALUES)
def test_values_that_are_spoiled_were_good(tmp_path: Path, what: str) -> None:
    read, name, write, good = VALUES[what]
    (tmp_path / name).write_bytes(write(good()))
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
