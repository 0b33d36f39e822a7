"""How requests and the server end: clients that leave, an engine that dies, signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from calibration.server.app import Serving
from calibration.server.serve import ServeOptions, build, running
from tests.server.conftest import setup_of
from tests.server.test_server import asked, gauge, get, greedy, post

STEP_S = 0.15


@contextmanager
def served(folders: dict[str, Path], step: Callable[[Serving], Any] | None = None) -> Iterator[Any]:
    options = ServeOptions(port=0, served_name="base")
    serving = build(setup_of(folders), options)
    if step is not None:
        serving.loop.engine.step = step(serving)  # type: ignore[method-assign]
    with running(serving, options) as url:
        yield serving, url


def slow(serving: Serving) -> Any:
    step = serving.loop.engine.step

    def stepped() -> Any:
        time.sleep(STEP_S)
        return step()

    return stepped


def test_totals_start_at_zero_and_are_there(folders: dict[str, Path]) -> None:
    with served(folders) as (_, url):
        text = get(url, "/metrics")[1]
    for name in ("generation_tokens", "prompt_tokens", "num_preemptions", "prefix_cache_hits"):
        assert gauge(text, f"vllm:{name}_total") == 0  # the warm-up does not count
    assert gauge(text, "vllm:request_queue_time_seconds_count") == 0


def test_a_stop_string_is_a_good_end(folders: dict[str, Path]) -> None:
    with served(folders) as (serving, url):
        text = post(url, "/v1/completions", greedy())[1]["choices"][0]["text"]
        _, cut = post(url, "/v1/completions", greedy(stop=[text[4:6]], max_tokens=200))
        assert cut["choices"][0]["finish_reason"] == "stop"
        while serving.loop.outstanding:
            time.sleep(0.01)
        told = get(url, "/metrics")[1]
    assert 'finished_reason="stop"} 1' in told
    assert 'finished_reason="abort"} 0' in told
    assert gauge(told, "vllm:e2e_request_latency_seconds_count") == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_its_first_token_ends_its_request(
    folders: dict[str, Path], stream: bool
) -> None:
    with served(folders, slow) as (serving, url):

        async def work(session: aiohttp.ClientSession) -> None:
            async def stay() -> None:
                async with session.post("/v1/completions", json=greedy(max_tokens=4)) as response:
                    await response.read()

            staying = asyncio.create_task(stay())
            await asyncio.sleep(1.3 * STEP_S)  # within a step, so that the next request has to wait
            hasty = aiohttp.ClientTimeout(total=0.3 * STEP_S)
            with pytest.raises(asyncio.TimeoutError):
                await session.post(
                    "/v1/completions", json=greedy(max_tokens=900, stream=stream), timeout=hasty
                )
            await staying
            await asyncio.sleep(2 * STEP_S)

        asked(url, work)
        assert serving.loop.outstanding == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_engine_dies_everyone_is_told(folders: dict[str, Path]) -> None:
    def dying(_: Serving) -> Any:
        def step() -> Any:
            time.sleep(STEP_S)
            raise RuntimeError("boom")

        return step

    with served(folders, dying) as (serving, url):

        async def work(session: aiohttp.ClientSession) -> list[int]:
            async def one(wait_s: float) -> int:
                await asyncio.sleep(wait_s)  # the second waits for the step that fails, the third comes later
                timeout = aiohttp.ClientTimeout(total=20 * STEP_S)
                async with session.post("/v1/completions", json=greedy(), timeout=timeout) as response:
                    assert "engine" in (await response.json())["error"]["message"]
                    return response.status

            return list(await asyncio.gather(one(0), one(0.4 * STEP_S), one(3 * STEP_S)))

        assert asked(url, work) == [500, 500, 500]
        assert get(url, "/health")[0] == 500
        assert serving.loop.outstanding == 0


@pytest.mark.parametrize(
    "body",
    [b'{"lora_name": "\\ud800", "lora_path": "other"}', b'{"lora_name": "a", "lora_path": "a\\u0000b"}',
     json.dumps({"lora_name": "a", "lora_path": "x" * 5000}).encode()],
)  # fmt: skip
def test_odd_names_of_adapters_are_refused(address: str, body: bytes) -> None:
    status, answer = post(address, "/v1/load_lora_adapter", body)
    assert status == 400
    assert "lora_" in answer["error"]["message"]


@pytest.mark.parametrize(("field", "status"), [("model", 404), ("prompt", 400), ("stop", 200)])
def test_half_a_surrogate_pair_is_no_server_error(address: str, field: str, status: int) -> None:
    body = json.dumps(greedy(max_tokens=1) | {field: "\ud800"}).encode()
    assert post(address, "/v1/completions", body)[0] == status


@pytest.mark.parametrize(
    ("field", "value"), [("top_k", 5), ("logprobs", 1), ("frequency_penalty", 0.5), ("min_tokens", 3)]
)
def test_what_would_change_the_answer_is_not_ignored(address: str, field: str, value: Any) -> None:
    status, answer = post(address, "/v1/completions", greedy(ignore_eos=False) | {field: value})
    assert status == 400
    assert answer["error"]["message"].startswith(f"{field} is {value}; allowed: ")


def test_null_is_left_out(address: str) -> None:
    nulls = dict.fromkeys(("temperature", "top_p", "n", "stream", "stop_token_ids", "top_k"))
    assert post(address, "/v1/completions", {"prompt": [1, 2], "max_tokens": 1, **nulls})[0] == 200


def test_token_ids_are_told_where_asked_for(address: str) -> None:
    _, whole = post(address, "/v1/completions", greedy(return_token_ids=True))
    choice = whole["choices"][0]
    assert choice["prompt_token_ids"] == greedy()["prompt"]
    assert len(choice["token_ids"]) == whole["usage"]["completion_tokens"]


@contextmanager
def program(folders: dict[str, Path]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "calibration.cli", "serve", "--model", str(folders["model"])]
    started = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert started.stdout is not None
        yield started, int(started.stdout.readline().rsplit(":", 1)[1])
    finally:
        started.kill()
        started.communicate()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_server_and_tells_its_clients(
    folders: dict[str, Path], sign: signal.Signals, code: int
) -> None:
    with program(folders) as (started, port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()  # open when its address is told
        url, lines, first = f"http://127.0.0.1:{port}", [], threading.Event()
        longest = json.loads(get(url, "/v1/models")[1])["data"][0]["max_model_len"]

        async def work(session: aiohttp.ClientSession) -> None:
            body = greedy(model="", max_tokens=longest - 5, stream=True)
            async with session.post("/v1/completions", json=body) as response:
                async for line in response.content:
                    lines.append(line)
                    first.set()

        client = threading.Thread(target=lambda: asked(url, work))
        client.start()
        assert first.wait(10)
        started.send_signal(sign)
        assert started.wait(15) == code
        client.join(10)
    texts = [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: {")]
    if "error" in texts[-1]:
        assert texts[-1]["error"]["message"] == "the server stops."
    else:  # it was faster than the signal
        assert texts[-1]["choices"][0]["finish_reason"] == "length"
    assert lines[-2] == b"data: [DONE]\n"
