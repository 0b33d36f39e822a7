"""`calibrate endpoint` against a server that misbehaves: bounded, counted, and one sentence at the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
from click.testing import CliRunner, Result

from advisor.errors import MeasurementError
from advisor.profile import load_profile
from calibration.cli import main
from calibration.endpoint.answer import Answer, read_answer
from calibration.endpoint.ask import Bounds, Prober, SpentError
from calibration.endpoint.metrics import read_counts
from calibration.endpoint.overhead import Overhead
from calibration.endpoint.plan import Probe
from calibration.endpoint.prompts import Prompts
from calibration.endpoint.server import Server, look
from calibration.endpoint.sweep import Sweep
from calibration.replay.client import Target
from calibration.replay.servers import KINDS
from tests.faults.reply import FAULTS, Reply
from tests.faults.server import SILENCE, Misbehaving, Prompt, misbehaving

CUT = "breaks off in the middle of an answer."
NO_STREAM = "sends what is no event stream of completions."
SENTENCE = {
    "reset before head": CUT, "closed before head": CUT, "reset in head": CUT, "reset in stream": CUT,
    "closed in stream": CUT, "truncated chunk": CUT, "truncated length": CUT, "no [DONE]": CUT,
    "not gzip": CUT, "no HTTP": "answers with what is no HTTP.", "endless header": "answers with what is no",
    "no JSON": NO_STREAM, "no object": NO_STREAM, "deep": NO_STREAM, "digits": NO_STREAM,
    "endless event": "an event without end.", "endless line": "a line without end.",
    "endless parts": "sends more than 180 parts of an answer of 29 tokens.",
    "429, later": "asked 5 times to come back later.", "500": "answers 500 for 'm': no",
    "endless refusal": "answers 500 for 'm': xxx", "html": "does not stream", "no type": "does not stream",
    "error": "fails in the middle of an answer: boom", "no usage": "sends no usage",
    "usage of texts": "sends no usage", "usage of too many": "sends no usage",
    "usage below zero": "sends no usage",
    "silent": "no whole answer within 1 s (--timeout).", "loris in head": "no whole answer within 1 s",
    "loris in stream": "no whole answer within 1 s",
}  # fmt: skip
GOOD = ("", "half characters", "event of other fields", "no error", "[DONE] and silent", "[DONE] and closed")
TRIED_TWICE = ("reset before head", "closed before head", "reset in head")


def calibrate(server: Misbehaving, folder: Path, *more: str) -> Result:
    return CliRunner().invoke(
        main,
        ["endpoint", "--url", server.url, "--model", "m", "--shape", "Llama-3.1-8B", "--device", "L40S",
         "--out", str(folder / "p.json"), "--max-concurrency", "2", "--longest-prompt", "64", *more],
    )  # fmt: skip


def probed(server: Misbehaving, use: Callable[[Prober], Awaitable[None]], bounds: Bounds) -> Prober:
    """Use a prober of this server."""

    async def go() -> Prober:
        async with Prober(Target(server.url, "m", KINDS["vllm"]), bounds) as prober:
            await use(prober)
            return prober

    return asyncio.run(go())


@pytest.mark.parametrize("fault", SENTENCE)
def test_each_fault_has_its_sentence_and_leaves_nothing(fault: str, tmp_path: Path) -> None:
    timeout = "1s" if "--timeout" in SENTENCE[fault] or "within" in SENTENCE[fault] else "60s"
    with misbehaving(Misbehaving(lambda _: fault)) as server:
        done = calibrate(server, tmp_path, "--budget", "120s", "--timeout", timeout)
    assert done.exit_code == 4, done.output
    assert server.url in done.output
    assert SENTENCE[fault] in done.output
    assert not list(tmp_path.iterdir())
    assert len(server.seen) == (2 if fault in TRIED_TWICE else 5 if fault == "429, later" else 1)


@pytest.mark.parametrize("fault", GOOD)
def test_what_is_odd_but_whole_counts(fault: str) -> None:
    async def ask(prober: Prober) -> None:
        answer = await prober.ask([1, 2, 3], 5)
        assert (answer.output_tokens, answer.prompt_tokens, len(answer.part_s)) == (5, 3, 5)

    with misbehaving(Misbehaving(lambda _: fault)) as server:
        assert probed(server, ask, Bounds(120.0, 10, 2)).sent == len(server.seen) == 1


def test_faults_after_the_first_pass_are_left_out_and_counted(tmp_path: Path) -> None:
    server = Misbehaving(pause_s=0.001)
    faults = {4: "closed in stream", 9: "closed before head", 14: "no JSON", 19: "429, later", 24: "500"}
    later: list[Prompt] = []

    def fault_of(prompt: Prompt) -> str:
        if server.gets.count("/metrics") < 3:  # at the beginning, before and after the one level of the ramp
            return ""
        later.append(prompt)
        return faults.get(len(later), "")

    server.fault_of = fault_of
    with misbehaving(server):
        done = calibrate(server, tmp_path, "--budget", "120s", "--max-requests", "110")
    assert len(later) > max(faults)
    assert done.exit_code == 0, done.output
    assert len(server.seen) <= 110
    notes = load_profile(tmp_path / "p.json").notes
    assert "probes that failed and are in no figure: 3." in notes
    assert sum(note.startswith("left out: ") for note in notes) == 3
    assert any(note.endswith("closed the connection before an answer: 1.") for note in notes)
    assert any(note.startswith("RATE-LIMITED: the server refused 1 requests") for note in notes)


def test_a_drop_never_costs_more_requests_than_allowed() -> None:
    async def ask(prober: Prober) -> None:
        with pytest.raises(MeasurementError, match="breaks off"):
            await prober.ask([1], 2)
        with pytest.raises(SpentError):
            await prober.ask([2], 2)

    with misbehaving(Misbehaving(lambda _: "closed before head")) as server:
        prober = probed(server, ask, Bounds(120.0, 3, 2))
        assert prober.sent == len(server.seen) == 3
    assert prober.closed == 2


@pytest.mark.parametrize(
    ("later", "date", "wait_s"),
    [
        ("Tue, 06 Nov 2001 08:50:07 GMT", "Tue, 06 Nov 2001 08:49:37 GMT", 30.0),  # its clock is years off
        ("Tue, 06 Nov 2001 08:49:07 GMT", "Tue, 06 Nov 2001 08:49:37 GMT", 0.0),
        ("Tue, 06 Nov 2001 08:50:07 -0000", "Tue, 06 Nov 2001 08:49:37 GMT", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 -0500", "", 1.0),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999", "soon", 1.0),
        ("30", "nonsense", 30.0), ("-5", "", 0.0), ("nan", "", 1.0), ("1e999", "", 1.0), ("soon", "", 1.0),
    ],
)  # fmt: skip
def test_a_wait_is_by_the_servers_clock_and_nonsense_is_a_second(
    later: str, date: str, wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(reply: Reply) -> None:
        await reply.status(
            "429 Too Many Requests", f"Retry-After: {later}", *([f"Date: {date}"] if date else [])
        )

    async def ask() -> Answer:
        async with aiohttp.ClientSession() as session:
            body = {"model": "m", "prompt": [1], "max_tokens": 1}
            return await read_answer(session, f"{server.url}/v1/completions", body)

    monkeypatch.setitem(FAULTS, "refuse", refuse)
    with misbehaving(Misbehaving(lambda _: "refuse")) as server:
        assert asyncio.run(ask()).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("timeout_s", "budget_s", "error"), [(5.0, 1e6, MeasurementError), (1e6, 5.0, SpentError)]
)
def test_an_answer_is_waited_for_until_the_timeout_or_the_end_of_the_budget(
    timeout_s: float, budget_s: float, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []

    async def never(*given: Any) -> Answer:
        waits_s.append(given[-1])
        raise TimeoutError

    async def ask() -> None:
        target = Target("http://127.0.0.1:1", "m", KINDS["vllm"], timeout_s=timeout_s)
        async with Prober(target, Bounds(budget_s, 10, 2)) as prober:
            with pytest.raises(error):
                await prober.ask([1], 2)

    monkeypatch.setattr("calibration.endpoint.ask.read_answer", never)
    asyncio.run(ask())
    assert len(waits_s) == 1
    assert 0 < waits_s[0] <= 5.0


def test_a_page_that_does_not_come_is_waited_for_once() -> None:
    async def get(prober: Prober) -> None:
        for _ in range(5):
            assert await prober.get("/metrics") == (0, "")
        assert (await prober.get("/version"))[0] == 200

    with misbehaving(Misbehaving(pages={"/metrics": SILENCE, "/version": b"{}"})) as server:
        probed(server, get, Bounds(8.0, 10, 2))
    assert server.gets == ["/metrics", "/version"]


@pytest.mark.parametrize(
    "metrics",
    [
        b"vllm:num_requests_running 1.2.3\n", b"vllm:num_requests_running NaN\n",
        b"vllm:num_requests_running +Inf\n", b"vllm:num_requests_running 1e999\n",
        b"vllm:num_requests_running -\n", b"\xff\xfe\x00",
        'vllm:cache_config_info{num_gpu_blocks="²",block_size="16"} 1\n'.encode(),
        b'vllm:cache_config_info{num_gpu_blocks="' + b"9" * 5000 + b'",block_size="16"} 1\n',
    ],
)  # fmt: skip
def test_metrics_of_nonsense_tell_nothing(metrics: bytes) -> None:
    found: list[Server] = []

    async def see(prober: Prober) -> None:
        found.append(await look(prober))

    pages = {"/metrics": metrics, "/v1/models": b'{"data": [{"id": 3}, 4, {"id": "m"}]}', "/version": b"[["}
    with misbehaving(Misbehaving(pages=pages)) as server:
        probed(server, see, Bounds(120.0, 10, 2))
    assert found == [Server(names=("m",))]
    assert read_counts("vllm:num_requests_running 2\nvllm:num_requests_running NaN\n").value("running") == 2


def test_two_that_fail_at_once_are_one_sentence_and_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    """A prompt beside a running stream: both break; asyncio has no failure left that nobody looked at."""
    both: list[Prompt] = []

    def fault_of(prompt: Prompt) -> str:
        both.append(prompt)
        return "" if len(both) == 1 else "no JSON"

    async def beside(prober: Prober) -> None:
        prompts = Prompts(1000, 0, None)
        sweep = Sweep(prober, prompts, (), Overhead(0.0, 0.0, 0.0), 2048)
        with pytest.raises(MeasurementError, match="no event stream"):
            await sweep.probe(Probe("beside", 32))
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    with misbehaving(Misbehaving(fault_of, pause_s=0.02)) as server:
        probed(server, beside, Bounds(120.0, 10, 2))
    gc.collect()
    assert "never retrieved" not in caplog.text
