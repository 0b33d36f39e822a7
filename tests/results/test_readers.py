"""Result files of four load generators: what is read, in which unit, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.errors import InputError
from calibration.results.measured import Latency, MeasuredRun
from calibration.results.plausible import check_units
from calibration.results.read import read_results
from calibration.results.requests import Facts, replay_of

GOLDEN = Path(__file__).parent / "golden"


def bench(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((GOLDEN / "vllm_bench.json").read_text())
    return {name: value for name, value in {**raw, **changes}.items() if value != "absent"}


def written(tmp_path: Path, raw: Any, name: str = "result.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(raw))
    return path


def refusal(path: Path, kind: str | None = None, unit: Any = None) -> str:
    with pytest.raises(InputError) as caught:
        read_results(path, kind, unit)
    return str(caught.value)


def test_vllm_bench_milliseconds_become_seconds_and_requests_keep_their_times() -> None:
    (found,) = read_results(GOLDEN / "vllm_bench.json")
    run = found.run
    assert run.tool == "vllm bench serve"
    assert (run.completed, run.failed, run.max_concurrency, run.request_rate_rps) == (3, 1, 2, None)
    assert (run.prompt_tokens, run.output_tokens, run.throughput_rps) == (100.0, 10.0, 1.5)
    assert run.ttft == Latency(mean_s=0.05, p50_s=0.05, p99_s=0.06)
    assert run.e2e.p99_s == pytest.approx(0.58)
    assert run.arrival_cv == 1.0
    assert found.answers is not None
    result = replay_of(found.answers, Facts("vllm bench serve", "vllm", "m", "t"))
    assert result.arrival_s.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert result.ttft_s[:3] == pytest.approx([0.05, 0.06, 0.04])
    assert result.e2e_s[:3] == pytest.approx([0.5, 0.51, 0.58])
    assert result.tpot_s[2] == pytest.approx(0.06)
    assert result.errors == {"failed": 1}
    assert len(result.itl_s) == 27


def test_details_without_sending_times_are_used_for_a_burst_only(tmp_path: Path) -> None:
    limited = written(tmp_path, bench(start_times="absent"))
    assert read_results(limited)[0].answers is None
    burst = written(tmp_path, bench(start_times="absent", max_concurrency=None))
    answers = read_results(burst)[0].answers
    assert answers is not None
    assert {answer.arrival_s for answer in answers} == {0.0}


def test_sglang_is_told_from_vllm_and_has_a_run_a_line() -> None:
    first, second = (found.run for found in read_results(GOLDEN / "sglang.jsonl"))
    assert first.tool == "sglang bench_serving"
    assert (first.model, first.request_rate_rps, first.max_concurrency) == (
        "Qwen/Qwen2.5-7B-Instruct",
        4.0,
        None,
    )
    assert first.e2e.p90_s == pytest.approx(0.24)
    assert first.itl.p95_s == pytest.approx(0.021)
    assert (second.request_rate_rps, second.max_concurrency) == (None, 2)
    assert "allowed: a result of vllm-bench" in refusal(GOLDEN / "sglang.jsonl", "vllm-bench")


def test_guidellm_has_seconds_and_milliseconds() -> None:
    (found,) = read_results(GOLDEN / "guidellm.json")
    run = found.run
    assert run.e2e.mean_s == pytest.approx(0.13)
    assert run.ttft.p50_s == pytest.approx(0.048)
    assert run.itl.mean_s == pytest.approx(0.02)
    assert run.itl.p50_s is None, "its percentiles are of requests, not of gaps"
    assert (run.completed, run.failed, run.arrival_cv) == (2, 1, 0.0)
    assert found.answers is not None
    result = replay_of(found.answers, Facts("guidellm", "", "", "t"))
    assert result.ttft_s[:2] == pytest.approx([0.058, 0.052]), "from the targeted start, not from sending"
    assert result.e2e_s[:2] == pytest.approx([0.13, 0.13])
    assert result.header.lateness_max_s == pytest.approx(0.01)
    assert result.errors == {"failed": 1}


def test_aiperf_records_have_a_unit_each_and_warm_up_is_left_out() -> None:
    (found,) = read_results(GOLDEN / "aiperf.jsonl")
    assert (found.run.completed, found.run.failed) == (1, 1)
    assert found.run.ttft.mean_s == pytest.approx(0.04)
    assert found.run.e2e.mean_s == pytest.approx(0.07), "written in seconds there"
    assert found.run.tpot.mean_s == pytest.approx(0.01)
    result = replay_of(found.answers or [], Facts("aiperf", "", "", "t"))
    assert result.errors == {"http_503": 1}
    assert np.diff(result.chunk_s) == pytest.approx([0.01, 0.01, 0.01])


def test_aiperf_summary() -> None:
    (found,) = read_results(GOLDEN / "aiperf_sums.json")
    run = found.run
    assert found.answers is None
    assert (run.completed, run.failed, run.max_concurrency) == (10, 1, 1)
    assert run.ttft == Latency(mean_s=0.1, p50_s=0.09, p90_s=0.15, p95_s=0.16, p99_s=0.18)
    assert run.at_once == pytest.approx(1.0)


def test_aiperf_summary_of_another_version_or_unit_is_refused(tmp_path: Path) -> None:
    raw = json.loads((GOLDEN / "aiperf_sums.json").read_text())
    assert "schema_version is 2.0" in refusal(written(tmp_path, {**raw, "schema_version": "2.0"}))
    raw["request_latency"]["unit"] = "furlong"
    assert "request_latency.unit is 'furlong'; allowed: ns, us, ms" in refusal(written(tmp_path, raw))


def test_a_latency_that_names_no_unit_is_refused_not_guessed(tmp_path: Path) -> None:
    bare = {name.removesuffix("_ms"): v / 1e3 for name, v in bench().items() if name.endswith("_ms")}
    raw = {name: v for name, v in bench().items() if not name.endswith("_ms")} | bare
    path = written(tmp_path, raw)
    assert "mean_ttft names no unit; allowed: mean_ttft_ms" in refusal(path)
    assert read_results(path, None, "s")[0].run.ttft.mean_s == pytest.approx(0.05)


def test_seconds_under_a_name_of_milliseconds_break_littles_law(tmp_path: Path) -> None:
    raw = bench(num_prompts=40, completed=40, failed=0, duration=10.6, max_concurrency=2)
    assert read_results(written(tmp_path, raw))[0].run.at_once == pytest.approx(2.0)
    seconds = {name: v / 1e3 if name.endswith("_ms") else v for name, v in raw.items()}
    text = refusal(written(tmp_path, seconds))
    assert "0.002 at once, and 2 were kept in flight" in text


def test_milliseconds_taken_for_seconds_are_longer_than_the_run(tmp_path: Path) -> None:
    raw = {name: v for name, v in bench().items() if not name.endswith("_ms")} | {"mean_e2el": 530.0}
    assert "the mean latency is 530 s and the whole run took 2 s" in refusal(written(tmp_path, raw), unit="s")


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    raw = json.loads((GOLDEN / "guidellm.json").read_text())
    raw["metadata"]["version"] = 1
    assert "metadata.version is 1; allowed: 2" in refusal(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"completed": 0}, "completed is 0"),
        ({"duration": "2 s"}, "duration is '2 s'; allowed: a number"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"mean_ttft_ms": -1.0}, "mean_ttft_ms is -1.0; allowed: a number of at least 0"),
        ({"request_rate": "fast"}, "request_rate is 'fast'; allowed: a number, or inf"),
        ({"ttfts": [0.05]}, "different lengths (4, 4, 4, 1, 4, 4)"),
        ({"itls": [["x"], [], [], []]}, "a list holds something else than numbers"),
        ({"duration": "absent"}, "allowed: a result of vllm bench serve, SGLang"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(written(tmp_path, bench(**changes)))


def test_text_that_is_no_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\nnonsense\n')
    assert "line 2: not valid JSON" in refusal(path)


def test_an_open_run_of_short_answers_is_plausible() -> None:
    """Few at once is only suspicious where a closed loop kept more in flight."""
    run = MeasuredRun(
        name="r", tool="t", request_rate_rps=1.0, max_concurrency=64, completed=600, duration_s=600.0,
        prompt_tokens=10.0, output_tokens=2.0, e2e=Latency(mean_s=0.01),
    )  # fmt: skip
    check_units(run, source="r")


@pytest.mark.parametrize(
    ("name", "unit", "tokens"),
    [
        ("vllm_bench_serve_lora.json", None, (111.0, 50.0)),
        ("vllm_bench_serve_concurrency_trimmed.json", "s", (10240.0, 128.0)),
        ("guidellm_report_v2.json", None, (71.5, 8.0)),
        ("aiperf_profile_export.jsonl", None, (550.0, 9.0)),
    ],
)
def test_public_examples(shared_data: Path, name: str, unit: Any, tokens: tuple[float, float]) -> None:
    run = read_results(shared_data / "examples" / name, None, unit)[0].run
    assert (run.prompt_tokens, run.output_tokens) == tokens


def test_the_public_trap_is_not_guessed(shared_data: Path) -> None:
    path = shared_data / "examples" / "vllm_bench_serve_concurrency_trimmed.json"
    assert "names no unit" in refusal(path)
    assert "64 were kept in flight" in refusal(path, unit="ms")
