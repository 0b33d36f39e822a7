"""What `calibrate` reads: results of load generators, importers' tables, journals, answers of servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request

from calibration.endpoint.answer import _message, _seconds
from calibration.endpoint.metrics import read_counts
from calibration.engine.config import read_architecture
from calibration.engine.safefiles import shapes_in
from calibration.importers.csvrows import csv_rows
from calibration.importers.published import all_points
from calibration.importers.server_files import CAPACITY, RUNS, read_capacity, read_runs
from calibration.importers.serving_sim_files import known_tables, read_tables
from calibration.importers.tables import read_rows
from calibration.importers.vidur import OPERATORS, read_layers
from calibration.microbench.samples import Samples
from calibration.promptfiles import prompts_from
from calibration.replay.completion import Completion
from calibration.replay.journal import Journal
from calibration.results.measured import load_runs
from calibration.results.read import read_any
from calibration.results.runstable import read_runs_table
from calibration.server.app import _parsed
from calibration.server.protocol import ChatRequest, CompletionRequest
from calibration.server.reply import Refused
from tests.fuzz import seeds
from tests.fuzz.seeds import as_json, as_lines, gzipped
from tests.fuzz.target import Read, Target, in_file, of_json

_ANY: Final = in_file(read_any, "r.json")
_MARK: Final = {"trace": "t", "seed": 0}
_GPU: Final = "RTX4090"
_LLAMA: Final = "meta-llama/Llama-3.1-8B"
_RUN: Final = {
    "name": "r", "tool": "t", "completed": 10, "duration_s": 5.0, "prompt_tokens": 100.0,
    "output_tokens": 20.0, "ttft": {"mean_s": 0.1, "p99_s": 0.2}, "adapters": 2,
}  # fmt: skip
_KEPT: Final = {
    "schema_version": 1, "created": "2026-01-01T00:00:00Z", "producer": "p", "source": "s", "runs": [_RUN]
}  # fmt: skip
_CONFIG: Final = {
    **seeds.LLAMA, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu",
    "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "rope_theta": 500000.0, "eos_token_id": [1, 2],
}  # fmt: skip
_STREAM: Final = (
    b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\ndata: [DONE]\n\n'
)
_METRICS: Final = (
    b"# TYPE vllm:num_requests_running gauge\n"
    b'vllm:num_requests_running{model_name="m"} 3.0\nvllm:request_queue_time_seconds_sum 1.5e-3 17\n'
)
_PARQUET: Final = {"m": [1, 2], "latency": [0.1, 0.2]}


def _beside(name: str, reader: Callable[[Path], object]) -> Read:
    """A reader of a folder in which one packed file is of interest."""

    def read(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(gzipped(content))
        return reader(folder)

    return read


def _layers(value: Any, folder: Path) -> object:
    """LLMServingSim's tables: {"dense": CSV, "attention": CSV, "per_sequence": CSV, "meta": {...}}."""
    if not isinstance(value, dict):
        return None
    for name in ("dense", "attention", "per_sequence"):
        text = str(value.get(name, "")).encode("utf-8", "replace")
        (folder / f"llmservingsim_{name}.csv").write_bytes(text)
    (folder / "llmservingsim_meta.json").write_bytes(as_json(value.get("meta")))
    return read_tables(folder, *known_tables(folder)[0])


def _good_layers() -> list[bytes]:
    start = f"{_GPU},{_LLAMA},1,"
    heads = {"dense": "layer,tokens", "attention": "prefill_chunk,kv_prefill,n_decode,kv_decode",
             "per_sequence": "layer,sequences"}  # fmt: skip
    rows = {"dense": ("o_proj,1,10", "o_proj,16,11.5"), "attention": ("0,0,1,64,5", "16,0,0,0,7"),
            "per_sequence": ("lm_head,1,100",)}  # fmt: skip
    tables = {
        name: "\n".join([f"gpu,model,tp,{head},time_us", *(start + row for row in rows[name])])
        for name, head in heads.items()
    }
    meta = {f"{_GPU}/{_LLAMA}": {"profiler_version": "1.0.0", "vllm_version": "1", "profiled_at": "2026"}}
    return [as_json({**tables, "meta": meta})]


def _good_medians() -> list[bytes]:
    head = ["gpu", "model", "num_tokens", "tp", *(f"{name}_ms" for name in OPERATORS)]
    rows = [f"a40,m,{tokens},1," + ",".join(["0.02"] * len(OPERATORS)) for tokens in (1, 64)]
    return ["\n".join([",".join(head), *rows]).encode()]


def _good_runs() -> list[bytes]:
    head = "experiment,model,case,completed,duration,total_input_tokens,total_output_tokens"
    head += ",median_ttft_ms,mean_tpot_ms"
    return [f"{head}\nfind,m,k/_128_16_,1,1.9,13,120,22.7,15.8\nfind,m,_8_,2,1,10,20,1,1\n".encode()]


def _good_capacity() -> list[bytes]:
    rows = [f"m,v1_find,{slots},16,{1000 * slots}" for slots in (1, 2, 4)]
    return ["\n".join(["model,family,max_loras,max_lora_rank,kv_cache_tokens", *rows]).encode()]


def _good_points() -> list[bytes]:
    head = "backend,backend_version,dump,model_path,system,precision,isl,osl,silicon_concurrency,tp_size"
    row = "vllm,0.1,d,Qwen/Qwen3-32B,h100_sxm,fp8,4000,1000,16,1"
    return [f"{head},silicon_ttft_ms,silicon_tpot_ms\n{row},719.2,13.6\n".encode()]


def _good_tensors() -> list[bytes]:
    head = as_json({"a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}})
    return [len(head).to_bytes(8, "little") + head + bytes(8)]


def _prompts(content: bytes, folder: Path) -> object:
    file = folder / "p.jsonl"
    file.write_bytes(content)
    return prompts_from(str(file), folder, 4, 8, 0)


def _parquet_rows(value: Any, folder: Path) -> object:
    try:
        content = seeds.parquet(value)
    except Exception:  # noqa: BLE001 - not every data makes a table
        return None
    return in_file(lambda file: read_rows(file, ("m", "latency")), "a.parquet")(content, folder)


def _journal(content: bytes, folder: Path) -> object:
    """What is taken of a journal is taken again when it is read once more."""
    file = folder / "r.journal"
    file.write_bytes(content)
    once = Journal(file, _MARK, resume=True).rows
    again = Journal(file, _MARK, resume=True).rows
    assert repr(once) == repr(again), "another journal when it is read again"
    return once


def _good_journal() -> list[bytes]:
    row = {"i": 0, "status": "ok", "sent_s": 0.1, "output_tokens": 2, "prompt_tokens": 3, "cached_tokens": 0,
           "again": 0, "chunk_s": [0.2, 0.3], "chunk_tokens": [1, 1]}  # fmt: skip
    return [as_lines([{"fingerprint": _MARK}, row, {**row, "i": 1, "status": "http_500"}]) + b"\n"]


def _samples(content: bytes, folder: Path) -> object:
    file = folder / "s.samples.jsonl"
    file.write_bytes(content)
    Samples.read(file)
    return Samples(file, {"model": "m"}, resume=True).operations


def _good_samples() -> list[bytes]:
    step = dict.fromkeys(("decodes", "context", "outputs", "gamma", "adapters", "s", "draft_s", "drafted"), 1)
    rows = [{"op": "gemm", "m": 1, "s": 0.1}, {"run": "a", "steps": [{**step, "chunks": []}]},
            {"fact": "x", "value": 1}]  # fmt: skip
    return [as_lines([{"fingerprint": {"model": "m"}}, *rows]) + b"\n"]


def _stream(content: bytes, _: Path) -> object:
    """A server's stream in pieces of so many bytes as its first byte says."""
    size = content[0] + 1 if content else 1
    found = Completion(4)
    for at in range(1, len(content), size):
        found.feed(content[at : at + size], 0.1)
    return found.count("completion_tokens"), found.count("prompt_tokens"), found.cached_tokens


def _refusal(content: bytes, _: Path) -> object:
    """Retry-After, Date and body of a refusal, a line each."""
    text = content.decode("latin-1")
    after, date, body = [*text.split("\n", 2), "", ""][:3]
    assert _seconds(after, date) >= 0
    return _message(body)


def _request(content: bytes, _: Path) -> object:
    """A body through the server's own parser; a refusal is its answer."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    for kind in (CompletionRequest, ChatRequest):
        asked: Coroutine[Any, Any, object] = _parsed(Request({"type": "http"}, receive), kind)
        try:
            asked.send(None)
        except StopIteration:
            pass
        except Refused as refused:
            json.dumps(refused.body).encode()
    return None


RESULTS: Final = [
    Target("vllm bench serve", _ANY, lambda: [as_json(seeds.BENCH), seeds.result("vllm_bench.json")], "json"),
    Target("SGLang's bench_serving", _ANY, lambda: [seeds.result("sglang.jsonl")], "lines"),
    Target("guidellm", _ANY, lambda: [seeds.result("guidellm.json")], "json"),
    Target("aiperf", _ANY, lambda: [seeds.result("aiperf.jsonl")], "lines"),
    Target("aiperf's summary", _ANY, lambda: [seeds.result("aiperf_sums.json")], "json"),
    Target("kept runs", in_file(load_runs, "k.json"), lambda: [as_json(_KEPT)], "json"),
    Target("table of runs", in_file(read_runs_table, "runs.csv"), lambda: [seeds.RUNS], "csv"),
]
IMPORTERS: Final = [
    Target("LLMServingSim's tables", of_json(_layers), _good_layers, "json"),
    Target(
        "Vidur's medians",
        _beside("vidur_mlp_ops_median.csv.gz", lambda folder: read_layers(folder, "a40")),
        _good_medians,
        "csv",
    ),
    Target("operator table, columns", of_json(_parquet_rows), lambda: [as_json(_PARQUET)], "json"),
    Target(
        "table in gzip, bytes",
        in_file(lambda file: csv_rows(file, ("a",)), "x.csv.gz"),
        lambda: [gzipped(b"a,b\n1,2\n")],
    ),
    Target("runs of a server", _beside(RUNS, lambda folder: read_runs(folder, "m")), _good_runs, "csv"),
    Target(
        "capacity of a server",
        _beside(CAPACITY, lambda folder: read_capacity(folder, "m")),
        _good_capacity,
        "csv",
    ),
    Target("published points", _beside("measured_ttft_tpot_agg.csv.gz", all_points), _good_points, "csv"),
]
LIVE: Final = [
    Target("journal of a replay", _journal, _good_journal, "lines"),
    Target("samples of a calibration", _samples, _good_samples, "lines"),
    Target("stream of a server", _stream, lambda: [b"\x07" + _STREAM, b"\xff" + _STREAM]),
    Target(
        "refusal of a server",
        _refusal,
        lambda: [
            b'Wed, 21 Oct 2026 07:28:00 GMT\nWed, 21 Oct 2026 07:27:00 GMT\n{"error": {"message": "m"}}',
            b"3\n\nno",
        ],
    ),
    Target(
        "metrics of a server",
        lambda content, _: read_counts(content.decode("utf-8", "replace")),
        lambda: [_METRICS],
    ),
    Target(
        "request to the server",
        _request,
        lambda: [
            as_json({"model": "m", "prompt": [1, 2], "max_tokens": 4, "stream": True, "n": 1}),
            as_json({"messages": [{"role": "user", "content": "hi"}], "stop": ["x"]}),
        ],
        "json",
    ),
    Target("prompts", _prompts, lambda: [as_lines([[1, 2], {"prompt": [3]}])], "lines"),
    Target(
        "model folder of the engine",
        in_file(lambda file: read_architecture(file.parent), "config.json"),
        lambda: [as_json(_CONFIG)],
        "json",
    ),
    Target("safetensors", in_file(shapes_in, "a.safetensors"), _good_tensors),
]
