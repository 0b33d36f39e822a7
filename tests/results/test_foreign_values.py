"""A value of another kind in a result file is told by its place; it once ended in an error of Python's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from calibration.results.read import read_any
from calibration.results.runstable import read_runs_table

GOLDEN = Path(__file__).parent / "golden"
COLUMNS = "name,completed,duration_s,mean_prompt_tokens,mean_output_tokens,ttft_mean_ms,failed"


def spoiled(tmp_path: Path, name: str, place: str, value: Any) -> Path:
    """A golden file with one value replaced; `place` is its keys and indices, with dots between."""
    text = (GOLDEN / name).read_text()
    lines = name.endswith(".jsonl")
    whole = [json.loads(row) for row in text.splitlines()] if lines else json.loads(text)
    *way, last = (int(key) if key.isdigit() else key for key in place.split("."))
    here: Any = whole
    for key in way:
        here = here[key]
    if value == "absent":
        del here[last]
    else:
        here[last] = value
    path = tmp_path / name
    path.write_text("\n".join(map(json.dumps, whole)) if lines else json.dumps(whole))
    return path


@pytest.mark.parametrize(
    ("name", "place", "value", "says"),
    [
        ("guidellm.json", "benchmarks", 7, "benchmarks is 7; allowed: a list of objects"),
        ("guidellm.json", "benchmarks.0.config.strategy", [], "config.strategy is []; allowed: an object"),
        ("guidellm.json", "benchmarks.0.duration", "absent", "benchmark 0: duration is missing"),
        ("guidellm.json", "benchmarks.0.requests.errored", {}, "requests.errored is {}"),
        ("guidellm.json", "benchmarks.0.requests.successful.1.prompt_tokens", float("inf"), "is inf"),
        ("guidellm.json", "benchmarks.0.requests.successful.0.request_start_time", 10**400, "401 digits"),
        ("aiperf.jsonl", "1.metadata", None, "line 2: metadata is null; allowed: an object"),
        ("aiperf.jsonl", "1.metrics.request_latency", 3, "line 2: metrics.request_latency is 3"),
        ("aiperf.jsonl", "1.metrics.request_latency.unit", "h", "unit is 'h'; allowed: ns, us, ms"),
        ("aiperf.jsonl", "1.metrics.request_latency.unit", [], "unit is []; allowed: text"),
        ("aiperf.jsonl", "1.metrics.output_sequence_length.value", 1.5, "value is 1.5; allowed: a whole"),
        ("aiperf.jsonl", "1.metrics.inter_chunk_latency.value", [1, "x"], "a list of finite numbers"),
        ("aiperf.jsonl", "2.metrics.error_isl", "x", "line 3: metrics.error_isl is 'x'"),
        ("aiperf_sums.json", "request_count.avg", float("nan"), "request_count.avg is nan"),
        ("aiperf_sums.json", "request_latency.p50", "", "request_latency.p50 is ''"),
        ("aiperf_sums.json", "input_config", "x", "input_config is 'x'; allowed: an object"),
        ("aiperf_sums.json", "input_config.endpoint.model_names", "x", "allowed: a list of names"),
        ("vllm_bench.json", "errors", 0.5, "errors is 0.5; allowed: a list"),
        ("vllm_bench.json", "duration", 10**400, "duration is a number of 401 digits"),
        ("vllm_bench.json", "request_rate", 10**400, "request_rate is a number of 401 digits"),
        ("vllm_bench.json", "input_lens.0", float("inf"), "something else than numbers"),
        ("vllm_bench.json", "itls.0", 5, "something else than numbers"),
        ("vllm_bench.json", "failed", 10**400, "failed"),
    ],
)
def test_the_place_and_the_value_are_named(
    tmp_path: Path, name: str, place: str, value: Any, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_any(spoiled(tmp_path, name, place, value))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{}\n{"a": ' + "9" * 5000 + "}"]
)
def test_what_json_itself_refuses_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(InputError, match="nested too deeply or holds a number of thousands of digits"):
        read_any(path)


@pytest.mark.parametrize("word", ["inf", "nan", "1e999", "-inf"])
@pytest.mark.parametrize("column", ["completed", "duration_s", "mean_prompt_tokens", "failed"])
def test_a_row_of_a_table_with_an_endless_number_is_left_out(tmp_path: Path, column: str, word: str) -> None:
    names = COLUMNS.split(",")
    row = dict(zip(names, ["bad", "100", "50", "100", "20", "50", "0"], strict=True)) | {column: word}
    path = tmp_path / "runs.csv"
    path.write_text(f"{COLUMNS}\n{','.join(row.values())}\ngood,100,50,100,20,50,0\n")
    table = read_runs_table(path)
    assert [run.name.split()[0] for run in table.runs] == ["good"]
    assert table.left_out == ((2, f"{column} is {word!r}, no number"),)
