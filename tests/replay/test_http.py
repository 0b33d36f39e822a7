"""Replay against servers: a good one, every kind of bad one, and our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.errors import InputError, MeasurementError
from advisor.replayed import ReplayResult, load_replay
from advisor.trace.trace import Trace
from advisor.trace.writers import save_trace
from calibration.replay.servers import KINDS, body_of
from calibration.replay.sse import EventStream
from calibration.replay.summary import figures
from calibration.replay.whole import Asked, replay_trace
from calibration.replay.words import text_of, tokenizer_cost
from tests.replay.faulty import FAULTS, Faulty, serving


def trace_of(count: int, gap_s: float = 0.005, output: int = 4) -> Trace:
    ones = np.ones(count, dtype=np.int64)
    adapter = np.arange(count) % 3 - 1
    return Trace(
        np.arange(count, dtype=np.float64) * gap_s, 6 * ones, output * ones, adapter, ("x", "y"), name="made"
    )


@pytest.fixture
def trace_file(tmp_path: Path) -> str:
    path = tmp_path / "made.csv"
    save_trace(trace_of(30), path)
    return str(path)


def replayed(at: Faulty, trace_file: str, tmp_path: Path, **more: Any) -> ReplayResult:
    given_: dict[str, Any] = {"model": "base", "timeout": 4.0, "out": tmp_path / "r.parquet", **more}
    return replay_trace(Asked(trace_file, url=at.url, **given_), None)


def test_a_good_server_answers_all_and_the_times_are_in_order(trace_file: str, tmp_path: Path) -> None:
    with serving(Faulty()) as server:
        result = replayed(server, trace_file, tmp_path)
    assert result.errors == {}
    assert result.output_tokens.tolist() == [4] * 30
    assert (result.sent_s >= result.arrival_s - 1e-6).all()
    assert (result.first_token_s >= result.sent_s).all()
    assert (result.last_token_s >= result.first_token_s).all()
    assert np.diff(result.chunk_offsets).tolist() == [4] * 30
    models = {body["model"] for body in server.seen}
    assert models == {"base", "x", "y"}
    assert all(
        body["ignore_eos"] and body["min_tokens"] == 4 and len(body["prompt"]) == 6 for body in server.seen
    )


_STATUS = {
    "hang": "timeout", "cut": "cut_off", "malformed": "malformed", "no_usage": "no_usage",
    "error": "server_error", "not_streaming": "not_streaming", "html": "not_streaming",
    "redirect": "http_302", "huge": "malformed", "number": "malformed", "odd": "no_usage",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_counted_by_its_kind_and_the_others_are_answered(
    fault: str, trace_file: str, tmp_path: Path
) -> None:
    with serving(Faulty(fault, every=3)) as server:
        result = replayed(server, trace_file, tmp_path)
    if fault == "slow":
        assert result.errors == {}
        assert (result.ttft_s > 0.19).sum() >= 10
        return
    kind = _STATUS.get(fault, f"http_{fault}")
    assert set(result.errors) == {kind}
    assert result.errors[kind] == 10
    assert int(result.done.sum()) == 20
    assert len(server.seen) == 30


@pytest.mark.parametrize(
    ("fault", "said"),
    [("401", "key is missing or wrong"), ("404", "no such model"), ("html", "does not stream")],
)
def test_a_server_that_refuses_everything_is_one_sentence(
    fault: str, said: str, trace_file: str, tmp_path: Path
) -> None:
    with serving(Faulty(fault)) as server, pytest.raises(MeasurementError, match=said):
        replayed(server, trace_file, tmp_path)


def test_as_many_under_way_as_have_ended_is_not_hopeless(tmp_path: Path) -> None:
    """Twenty answers, then twenty more that are slow: what is under way has not failed."""
    trace = trace_of(50, gap_s=0.005)
    arrival_s = trace.arrival_s + np.where(np.arange(50) < 20, 0.0, 1.0)
    save_trace(replace(trace, arrival_s=arrival_s), tmp_path / "two.csv")
    with serving(Faulty("slow")) as server:
        result = replayed(server, str(tmp_path / "two.csv"), tmp_path, timeout=20.0)
    assert bool(result.done.all())


def test_a_server_that_is_not_there_is_one_sentence(trace_file: str, tmp_path: Path) -> None:
    server = Faulty()
    server.url = "http://127.0.0.1:9"
    with pytest.raises(MeasurementError, match="cannot be reached"):
        replayed(server, trace_file, tmp_path)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://user:secret@host", "http://"])
def test_an_address_that_is_none_is_refused(url: str, trace_file: str, tmp_path: Path) -> None:
    server = Faulty()
    server.url = url
    with pytest.raises(InputError, match="--url is"):
        replayed(server, trace_file, tmp_path)


def test_answers_shorter_than_wanted_are_told(trace_file: str, tmp_path: Path) -> None:
    with serving(Faulty("short", every=3)) as server:
        result = replayed(server, trace_file, tmp_path)
    assert result.errors == {}
    assert (result.output_tokens < result.wanted_tokens).sum() == 10
    assert any("10 answers are shorter" in note for note in result.header.notes)


def test_figures_are_of_answered_requests(trace_file: str, tmp_path: Path) -> None:
    with serving(Faulty("500", every=3)) as server:
        found = figures(replayed(server, trace_file, tmp_path))
    assert (found["answered"], found["errors"]) == (20, {"http_500": 10})
    assert 0 < found["ttft_ms"]["p50"] <= found["e2e_ms"]["p50"] <= found["e2e_ms"]["p99"]


def test_too_few_connections_are_the_clients_lateness(trace_file: str, tmp_path: Path) -> None:
    with serving(Faulty("slow")) as server:
        result = replayed(server, trace_file, tmp_path, max_concurrency=1, timeout=30.0)
    assert result.header.client_late
    assert result.header.lateness_max_s > 1.0
    assert float(result.ttft_s.max()) > result.header.lateness_max_s  # latency counts from the wanted time


def test_the_key_is_sent_and_kept_nowhere(
    trace_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advisor.replayed import save_replay

    monkeypatch.setenv("REPLAY_KEY", "sk-very-secret")
    with serving(Faulty()) as server:
        result = replayed(server, trace_file, tmp_path, api_key_env="REPLAY_KEY", command="calibrate replay")
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-very-secret"}
    save_replay(result, tmp_path / "r.parquet")
    for path in tmp_path.iterdir():
        assert b"very-secret" not in path.read_bytes()
    monkeypatch.delenv("REPLAY_KEY")
    with serving(Faulty()) as server, pytest.raises(InputError, match="which is empty"):
        replayed(server, trace_file, tmp_path, api_key_env="REPLAY_KEY", resume=True)


def test_a_replay_killed_in_the_middle_goes_on_and_the_old_file_stays_whole(tmp_path: Path) -> None:
    trace_path, out = tmp_path / "long.csv", tmp_path / "r.parquet"
    save_trace(trace_of(120, gap_s=0.02), trace_path)
    with serving(Faulty()) as server:
        command = [
            sys.executable, "-m", "calibration.cli", "replay", "--trace", str(trace_path),
            "--url", server.url, "--model", "base", "--out", str(out),
        ]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        first = subprocess.run(
            [*command, "--requests", "5"], check=False, env=env, capture_output=True, text=True
        )
        assert first.returncode == 0 or "the client was late" in first.stderr, first.stderr
        before = out.read_bytes()
        process = subprocess.Popen([*command, "--force"], env=env)
        deadline = time.monotonic() + 20
        while len(server.seen) < 60 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert out.read_bytes() == before
        again = subprocess.run([*command, "--force"], env=env, capture_output=True, text=True, check=False)
        assert again.returncode == 2
        assert "--resume" in again.stderr
        sent = len(server.seen)
        rest = subprocess.run([*command, "--resume"], check=False, env=env, capture_output=True, text=True)
        assert rest.returncode == 0 or "the client was late" in rest.stderr, rest.stderr  # cores may be taken
    result = load_replay(out)
    assert len(result) == 120
    assert bool(result.done.all())
    assert len(server.seen) - sent < 120  # what was answered was not asked again
    assert "went on after an interruption" in result.header.notes[0]
    assert not Path(f"{out}.journal").exists()


def test_another_replays_journal_is_refused(trace_file: str, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    Path(f"{out}.journal").write_text(json.dumps({"fingerprint": {"trace": "other"}}) + "\n")
    with serving(Faulty()) as server, pytest.raises(InputError, match="another replay"):
        replayed(server, trace_file, tmp_path, resume=True)


def test_a_journal_of_another_trace_of_the_same_name_and_length_is_refused(
    trace_file: str, tmp_path: Path
) -> None:
    with serving(Faulty()) as server:
        replayed(server, trace_file, tmp_path)
        save_trace(trace_of(30, output=5), Path(trace_file))
        with pytest.raises(InputError, match="another replay"):
            replayed(server, trace_file, tmp_path, resume=True)


def test_servers_name_adapters_their_own_way() -> None:
    def body(kind: str, adapter: str | None) -> dict[str, Any]:
        return body_of(KINDS[kind], "base", adapter, [1, 2], 5)

    assert body("vllm", "a")["model"] == "a"
    assert body("sglang", "a")["model"] == "base:a"
    assert (body("lorax", "a")["model"], body("lorax", None)["model"]) == ("a", "")
    assert body("llama.cpp", "2")["lora"] == [{"id": 2, "scale": 1.0}]
    assert body("llama.cpp", None)["lora"] == [{"id": 0, "scale": 0.0}]
    assert body("llama.cpp", None)["cache_prompt"] is False
    with pytest.raises(InputError, match="its number"):
        body("llama.cpp", "a")


_SAMPLES = ['data: {"a": 1}', "data:b", ": comment", "event: x", "id: 3", "", "", "data: [DONE]", "data: é"]
_LINES = st.lists(st.sampled_from(_SAMPLES), max_size=20)


@given(lines=_LINES, crlf=st.booleans(), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_events_do_not_depend_on_how_the_bytes_are_cut(lines: list[str], crlf: bool, cuts: list[int]) -> None:
    content = "".join(line + ("\r\n" if crlf else "\n") for line in lines).encode()
    whole = list(EventStream().feed(content))
    stream, found, start = EventStream(), [], 0
    for end in [*sorted(cut % (len(content) + 1) for cut in cuts), len(content)]:
        found += list(stream.feed(content[start:end]))
        start = end
    assert found == whole
    expected: list[str] = []
    data: list[str] = []
    for line in lines:
        if not line:
            expected += ["\n".join(data)] if data else []
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    assert whole == expected


class TestOurServer:
    def test_a_replay_over_http_counts_as_the_engine_does(self, tmp_path: Path) -> None:
        pytest.importorskip("torch", reason="no torch; install the extra calibrate")
        pytest.importorskip("uvicorn", reason="no uvicorn; install the extra calibrate")
        from calibration.server.serve import ServeOptions, build, running
        from tests.engine.models import save_adapter, save_model
        from tests.server.conftest import setup_of

        folders = {
            "model": save_model(tmp_path / "model", "llama"),
            "plain": save_adapter(tmp_path / "x", "llama", seed=1),
        }
        trace = replace(trace_of(20), adapters=("plain",), adapter=np.arange(20) % 2 - 1)
        save_trace(trace, tmp_path / "t.csv")
        options = ServeOptions(port=0, served_name="base")
        with running(build(setup_of(folders), options), options) as url:
            asked = Asked(
                str(tmp_path / "t.csv"),
                tmp_path / "r.parquet",
                url=url,
                model="base",
                server="builtin",
                vocab=97,
            )
            result = replay_trace(asked, None)
        assert result.errors == {}
        assert result.output_tokens.tolist() == trace.output_tokens.tolist()
        assert result.prompt_tokens.tolist() == trace.prompt_tokens.tolist()
        assert result.chunk_tokens.sum() == trace.output_tokens.sum()


def test_prompts_as_words_are_fitted_to_the_tokens_that_the_server_counts(tmp_path: Path) -> None:
    count = 12
    trace = replace(trace_of(count, output=2), prompt_tokens=np.linspace(20, 400, count).astype(np.int64))
    path = tmp_path / "long.csv"
    save_trace(trace, path)
    with serving(Faulty()) as server:
        result = replayed(server, str(path), tmp_path, server="tgi", timeout=5.0)
    assert np.abs(result.prompt_tokens - trace.prompt_tokens).max() <= 2  # rounding to whole words
    assert any("1.5 tokens each (measured on the server)" in note for note in result.header.notes)
    sent = [body["prompt"] for body in server.seen[2:]]
    assert len(set(sent)) == count


def test_a_tokenizer_file_says_how_many_tokens_a_word_makes(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="no tokenizers; install the extra calibrate")
    from calibration import tinymodels

    cost = tokenizer_cost(tinymodels.model_dir())
    text = text_of(list(range(50)), cost.words_for(300))
    assert abs(len(tinymodels.tokenizer().encode(text).ids) - 300) <= 15
    with pytest.raises(InputError, match="--tokenizer is"):
        tokenizer_cost(tmp_path / "none.json")


@pytest.mark.parametrize("fault", ["500", "no_usage"])
def test_a_server_that_answers_nothing_is_an_error_however_short_the_trace(
    fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "short.csv"
    save_trace(trace_of(3), path)
    with (
        serving(Faulty(fault)) as server,
        pytest.raises(MeasurementError, match="None of 3 requests"),
    ):
        replayed(server, str(path), tmp_path)


def test_resume_without_a_server_is_refused(trace_file: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from calibration.cli import main

    given_ = ["replay", "--trace", trace_file, "--out", str(tmp_path / "r.parquet"), "--resume"]
    done = CliRunner().invoke(main, given_)
    assert done.exit_code == 2
    assert "--resume is given without --url" in done.output
