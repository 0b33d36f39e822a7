"""Good contents, small: what the fuzzers spoil."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

ROOT: Final = Path(__file__).parents[2]
LLAMA: Final[dict[str, Any]] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
ADAPTER: Final[dict[str, Any]] = {
    "peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"],
    "base_model_name_or_path": "base", "rank_pattern": {"q_proj": 8}, "init_lora_weights": "pissa",
}  # fmt: skip
BENCH: Final[dict[str, Any]] = {
    "date": "20261101-000000", "backend": "vllm", "num_prompts": 10, "completed": 10, "duration": 5.0,
    "request_rate": 2.0, "mean_ttft_ms": 50.0, "median_ttft_ms": 45.0, "mean_tpot_ms": 10.0,
    "total_input_tokens": 1000, "total_output_tokens": 500,
}  # fmt: skip
STUDY: Final[dict[str, Any]] = {
    "schema_version": 1,
    "scenario": "s.yaml",
    "choice": {"way": "multi-lora", "device": "L40S"},
    "grid": {"load": [1, 2], "adapters": [4]},
}
_MODULE: Final = {
    "layer": 0, "module": "q_proj", "delta_over_weight": 0.01, "kept": 0.9, "error": 0.3, "unchanged": 0.5,
}  # fmt: skip
MERGE_CHECK: Final[dict[str, Any]] = {
    "schema_version": 1,
    "model": "m",
    "adapter": "a",
    "rank": 8,
    "types": [
        {
            "stored": "bfloat16", "kept": 0.9, "error": 0.3, "unchanged": 0.5, "worst": _MODULE,
            "parity": {"prompts": 3, "mean_kl_nats": 0.1, "base_kl_nats": 0.2, "same_likeliest": 0.9},
        }
    ],
    "modules": [[_MODULE]],
}  # fmt: skip
_ACCEPTANCE: Final = {"marginals": [0.5, 0.3], "source": "mine"}
STREAMS: Final[dict[str, Any]] = {
    "schema_version": 1,
    "model": "Llama-3.1-8B",
    "adapters": {"paths": ["a", "b"], "popularity": {"kind": "trace"}, "base_share": 0.1},
    "workload": {
        "kind": "streams",
        "duration": "10min",
        "streams": [
            {
                "adapter": "a",
                "arrivals": {
                    "kind": "diurnal", "mean_rate": "2 req/s", "amplitude": 0.5, "period": "24h",
                    "peak_at": 9.0,
                },
                "prompt_tokens": {"kind": "quantiles", "probabilities": [0, 0.5, 1], "tokens": [1, 10, 100]},
                "output_tokens": {"kind": "uniform", "low": 1, "high": 20},
                "shared_prefix": {"tokens": 10, "groups_per_adapter": 2, "share": 0.5},
            }
        ],
    },
    "objective": {"preset": "chat", "slos": [{"metric": "ttft", "percentile": 90, "limit": "1s"}]},
    "speculation": {
        "drafts": [
            {
                "method": "eagle3", "task": "math", "custom": True, "base_acceptance": _ACCEPTANCE,
                "acceptance_by_adapter": {"a": _ACCEPTANCE}, "training": {"usd": 100.0, "months": 6.0},
            }
        ],
        "draft_lengths": [2, 3],
    },
    "devices": ["L40S"],
    "own_devices": [
        {
            "name": "MINE", "memory_bytes": 8e10, "bandwidth_bytes_per_s": 3e12, "bf16_flops_per_s": 1e15,
            "host_link_bytes_per_s": 5e10, "source": "mine", "date": "2026-01-01",
        }
    ],
    "autoscaling": {},
    "serverless": {},
    "prices": {"own": [{"device": "MINE", "price": "2.5 USD/h"}], "serverless_usd_per_mtok": "0.2 USD/Mtok"},
    "search": {"ways": ["multi-lora"], "tensor_parallel": [1, 2], "max_replicas": 4},
}  # fmt: skip
TRACE_FILE: Final[dict[str, Any]] = {
    "schema_version": 1,
    "model": "Llama-3.1-8B",
    "adapters": {
        "count": 3,
        "ranks": [{"rank": 8, "share": 0.5}, {"rank": 64, "share": 0.5}],
        "popularity": {"kind": "shares", "shares": [3, 2, 1]},
    },
    "workload": {
        "kind": "trace", "path": "t.csv", "columns": {"adapter": "x"}, "rate_scale": 2.0, "start": "1min"
    },
    "engine": {"name": "vllm", "max_loras": 2},
}  # fmt: skip
GENERATOR: Final[dict[str, Any]] = {
    "schema_version": 1,
    "model": "Llama-3.1-8B",
    "adapters": {"count": 2, "rank": 16},
    "workload": {
        "kind": "generator",
        "arrivals": {"kind": "gamma", "rate": "2 req/s", "cv": 2.0},
        "prompt_tokens": {"kind": "fixed", "tokens": 10},
        "output_tokens": {"kind": "lognormal", "median": 20.0, "p95": 100.0},
        "duration": "1h",
    },
}
TRACE: Final = [
    {"arrival_s": i / 2, "prompt_tokens": 9, "output_tokens": i + 1, "adapter": "a"} for i in range(4)
]
MOONCAKE: Final = [
    {"timestamp": 900 * i, "input_length": 700, "output_length": 9, "hash_ids": [0, i]} for i in range(4)
]
PREFIXES: Final = [
    {"arrival_s": i, "prompt_tokens": 40, "output_tokens": 3, "prefix_hashes": "[1, 2]",
     "prefix_block_tokens": 16, "priority": i}
    for i in range(3)
]  # fmt: skip
COLUMNS: Final[dict[str, Any]] = {
    "arrival_s": [0.0, 1.0, 2.5], "prompt_tokens": [10, 20, 30], "output_tokens": [3, 4, 5],
    "adapter": ["a", "b", None],
}  # fmt: skip
CSV: Final = (
    "arrival_s,prompt_tokens,output_tokens,adapter\n" + "\n".join(f"{i},{i + 1},{i + 2},a" for i in range(20))
).encode()
AZURE: Final = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
    b"2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n"
)
RUNS: Final = (
    b"name,completed,duration_s,mean_prompt_tokens,mean_output_tokens,ttft_mean_ms\n"
    b"one,100,50,100,20,50\ntwo,90,50,100,20,50\n"
)
REPLAY: Final = ROOT / "tests" / "replay" / "golden" / "replay_v1.parquet"
SCENARIO: Final = ROOT / "data" / "scenarios" / "bursts-at-night.yaml"


def as_json(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def as_lines(value: list[Any]) -> bytes:
    """JSON lines."""
    return b"\n".join(map(as_json, value))


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file of these columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def gzipped(content: bytes) -> bytes:
    """Packed, the same bytes each time."""
    return gzip.compress(content, mtime=0)


def result(name: str) -> bytes:
    """A load generator's file."""
    return (ROOT / "tests" / "results" / "golden" / name).read_bytes()


def fitted() -> bytes:
    """A fitted workload, its tables cut down."""
    whole = json.loads((ROOT / "data" / "workloads" / "azure_code_2023.json").read_text(encoding="utf-8"))
    whole["arrivals"]["profile"] = whole["arrivals"]["profile"][:3]
    whole["lengths"]["cells"] = [[1.0, 0.5], [0.5, 1.0]]
    for kind in ("prompt_tokens", "output_tokens"):
        length = whole["lengths"][kind]
        for column in ("probabilities", "tokens"):
            length[column] = [length[column][0], length[column][100], length[column][-1]]
    return as_json(whole)


def profile() -> bytes:
    """A small profile of version 1."""
    return (ROOT / "tests" / "calibration" / "golden" / "profile_v1.json").read_bytes()


def recommendation() -> bytes:
    """A whole answer, of each list the first two."""
    from tests.faces.example import example

    return as_json(_short(json.loads(example().model_dump_json())))


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return [_short(one) for one in value[:2]] if isinstance(value, list) else value
