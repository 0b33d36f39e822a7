"""Servers that misbehave, refuse, or are not there: one clear sentence, and the right exit code."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
pytest.importorskip("torch", reason="no torch; install the extra calibrate")
from aiohttp import web
from click.testing import CliRunner, Result

from advisor.profile import load_profile
from advisor.spec.spec import Origin
from calibration.cli import main
from calibration.endpoint.ask import Bounds, Prober
from calibration.replay.client import Target
from calibration.replay.servers import KINDS
from tests.endpoint.servers import Paced, answering, listening
from tests.replay.faulty import Faulty, running, serving

QUICK = ("--budget", "4s", "--max-concurrency", "2", "--longest-prompt", "64")


def calibrate(url: str, out: Path, *more: str) -> Result:
    return CliRunner().invoke(
        main,
        ["endpoint", "--url", url, "--model", "m", "--shape", "Llama-3.1-8B", "--device", "L40S",
         "--out", str(out / "p.json"), *QUICK, *more],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        ("401", 4, "the key is missing or wrong. See --api-key-env."),
        ("404", 2, "--model is 'm', and"),
        ("500", 4, "answers 500 for 'm': no"),
        ("cut", 4, "breaks off in the middle of an answer"),
        ("malformed", 4, "sends what is no event stream of completions"),
        ("number", 4, "sends what is no event stream of completions"),
        ("odd", 4, "sends no usage"),
        ("no_usage", 4, "sends no usage"),
        ("not_streaming", 4, "does not stream"),
        ("html", 4, "does not stream"),
        ("error", 4, "fails in the middle of an answer: boom"),
        ("huge", 4, "line without end"),
        ("redirect", 4, "redirects to http://127.0.0.2:9/elsewhere; redirects are not followed"),
    ],
)
def test_each_fault_has_its_sentence(fault: str, code: int, sentence: str, tmp_path: Path) -> None:
    with serving(Faulty(fault)) as server:
        done = calibrate(server.url, tmp_path)
    assert done.exit_code == code, done.output
    assert sentence in done.output
    assert not list(tmp_path.iterdir())  # nothing is left behind
    assert len(server.seen) == 1  # and nothing was asked again


def test_a_server_that_never_answers_costs_its_timeout_and_one_that_hangs_no_more_than_the_budget(
    tmp_path: Path,
) -> None:
    with serving(Faulty("hang")) as server:
        done = calibrate(server.url, tmp_path, "--timeout", "500ms")
        assert done.exit_code == 4
        assert "no whole answer within 0.5 s (--timeout)" in done.output
        done = calibrate(server.url, tmp_path, "--budget", "1s")
        assert done.exit_code == 4
        assert "no whole answer within --budget. Raise it." in done.output


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = calibrate(f"http://127.0.0.1:{free.getsockname()[1]}", tmp_path)
    assert done.exit_code == 4
    assert "cannot be reached" in done.output
    assert "Is the server running?" in done.output


def test_a_limited_server_is_asked_again_when_it_says_and_the_profile_says_so(tmp_path: Path) -> None:
    with serving(Paced(refuse_every=7)) as server:
        done = calibrate(server.url, tmp_path, "--max-requests", "100")
    assert done.exit_code == 0, done.output
    assert "RATE-LIMITED: the server refused" in done.output
    profile = load_profile(tmp_path / "p.json")
    assert any(note.startswith("RATE-LIMITED") for note in profile.notes)


def test_a_closed_connection_is_opened_anew_and_a_broken_answer_is_left_out(tmp_path: Path) -> None:
    with serving(Paced(closed=frozenset({1, 9, 60}), cut=frozenset({75}))) as server:
        done = calibrate(server.url, tmp_path, "--budget", "15s", "--max-requests", "110")
    assert done.exit_code == 0, done.output
    assert done.output.count("left out:") == 1
    assert "left out: " + server.url + ": breaks off in the middle of an answer" in done.output
    with serving(Paced(closed=frozenset(range(100)))) as server:
        done = calibrate(server.url, tmp_path, "--force")
    assert done.exit_code == 4
    assert "breaks off" in done.output
    assert len(server.seen) == 2


def test_a_server_that_only_refuses_is_given_up(tmp_path: Path) -> None:
    with serving(Paced(refuse_every=1)) as server:
        done = calibrate(server.url, tmp_path)
    assert done.exit_code == 4
    assert "asked 5 times to come back later" in done.output
    assert len(server.seen) == 5


def test_a_wait_longer_than_the_budget_ends_the_run(tmp_path: Path) -> None:
    with serving(Paced(refuse_every=1, retry_after="3600")) as server:
        done = calibrate(server.url, tmp_path)
    assert done.exit_code == 4
    assert "asks to come back in 3600 s, which is not within --budget" in done.output
    assert len(server.seen) == 1


def test_a_wait_may_be_told_as_a_date_and_nonsense_is_a_second(tmp_path: Path) -> None:
    far = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with serving(Paced(refuse_every=1, retry_after=far)) as server:
        done = calibrate(server.url, tmp_path)
    assert done.exit_code == 4
    assert "asks to come back in 359" in done.output or "asks to come back in 3600 s" in done.output
    assert len(server.seen) == 1
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    for text, waits in ((past, True), ("soon", False)):
        with serving(Paced(refuse_every=1, retry_after=text)) as server:
            done = calibrate(server.url, tmp_path)
        assert done.exit_code == 4
        assert ("asked 5 times" in done.output) is waits  # five seconds are more than the budget of four
        assert (len(server.seen) == 5) is waits


def test_several_tokens_a_part_are_seen_and_decode_terms_marked(tmp_path: Path) -> None:
    with serving(Paced(packed=2)) as server:
        done = calibrate(server.url, tmp_path, "--max-requests", "80")
    assert done.exit_code == 0, done.output
    assert "tokens a part: the server speculates, or sends several tokens at once" in done.output
    profile = load_profile(tmp_path / "p.json")
    assert profile.models[0].dense.origin is Origin.ESTIMATED
    assert profile.host.origin is Origin.ESTIMATED


def test_bounds_hold(tmp_path: Path) -> None:
    with serving(Paced()) as server:
        done = calibrate(server.url, tmp_path, "--max-requests", "60")
    assert done.exit_code == 0, done.output
    assert len(server.seen) <= 60
    assert all(len(body["prompt"]) <= 64 for body in server.seen)
    prompts = [tuple(body["prompt"]) for body in server.seen]
    assert len(set(prompts)) == len(prompts)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_KEY", "secret-of-the-test")
    with serving(Paced()) as server:
        done = calibrate(server.url, tmp_path, "--api-key-env", "ENDPOINT_KEY", "--max-requests", "80")
    assert done.exit_code == 0, done.output
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret-of-the-test"}
    assert "secret-of-the-test" not in done.output
    assert not any("secret-of-the-test" in path.read_text() for path in tmp_path.iterdir())
    monkeypatch.setenv("ENDPOINT_KEY", "")
    assert (
        "--api-key-env is ENDPOINT_KEY, which is empty"
        in calibrate(server.url, tmp_path, "--api-key-env", "ENDPOINT_KEY", "--force").output
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--url", "ftp://x"), "--url is 'ftp://x'"),
        (("--url", "http://user:pw@x"), "keys only by --api-key-env"),
        (("--adapter", "a", "--adapter", "a"), "each name once"),
        (("--adapter", "a", "--allow-adapter-churn"), "NAME=PATH"),
        (("--shape", "no-such-model"), "no-such-model"),
        (("--device", "no-such-device"), "no-such-device"),
        (("--budget", "5"), "--budget is '5'"),
        (("--max-loras", "4", "--max-cpu-loras", "2"), "--max-cpu-loras is 2; allowed: at least --max-loras"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(
    more: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    done = calibrate("http://127.0.0.1:9", tmp_path, *more)
    assert done.exit_code == 2, done.output
    assert sentence in done.output


def test_an_existing_profile_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("mine", encoding="utf-8")
    done = calibrate("http://127.0.0.1:9", tmp_path)
    assert (done.exit_code, (tmp_path / "p.json").read_text(encoding="utf-8")) == (2, "mine")
    assert "Add --force" in done.output


def test_names_that_the_server_does_not_list_are_refused_with_those_it_does(tmp_path: Path) -> None:
    with listening(["base", "sql"]) as url:
        wrong = calibrate(url, tmp_path)
        missing = calibrate(url, tmp_path, "--model", "base", "--adapter", "chat")
        long = calibrate(url, tmp_path, "--model", "base", "--longest-prompt", "4000")
    assert wrong.exit_code == missing.exit_code == long.exit_code == 2
    assert f"--model is 'm', which {url} does not serve; allowed: base, sql." in wrong.output
    assert "--adapter is 'chat'" in missing.output
    assert "--longest-prompt is 4000; allowed: at most" in long.output


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl; install it to make a certificate")
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    (tmp_path / "out").mkdir()
    with listening(["m"], tls) as url:
        done = calibrate(url, tmp_path / "out")
    assert done.exit_code == 4
    assert "its TLS certificate is not trusted" in done.output
    with listening(["m"]) as url:
        done = calibrate(url.replace("http", "https"), tmp_path / "out")
    assert done.exit_code == 4
    assert "TLS failed" in done.output


def test_an_adapter_that_does_not_come_back_is_named(tmp_path: Path) -> None:
    posts = {
        "/v1/completions": Paced().completions,
        "/v1/unload_lora_adapter": answering(200),
        "/v1/load_lora_adapter": answering(500),
    }
    more = ("--adapter", "sql=/there/sql", "--allow-adapter-churn", "--max-requests", "400")
    with listening(["m", "sql"], posts=posts) as url:
        done = calibrate(url, tmp_path, *more)
    assert done.exit_code == 4, done.output
    assert "adapter 'sql' was unloaded and cannot be loaded again from '/there/sql' (500)" in done.output


def test_a_server_that_changes_no_adapters_is_measured_without(tmp_path: Path) -> None:
    posts = {"/v1/completions": Paced().completions, "/v1/unload_lora_adapter": answering(403)}
    more = ("--adapter", "sql=/there/sql", "--allow-adapter-churn", "--max-requests", "100")
    with listening(["m", "sql"], posts=posts) as url:
        done = calibrate(url, tmp_path, *more)
    assert done.exit_code == 0, done.output
    assert "the server answers 403 to /v1/unload_lora_adapter" in done.output


def test_an_adapter_that_is_not_there_where_no_names_are_listed(tmp_path: Path) -> None:
    class Without(Paced):
        async def completions(self, request: web.Request) -> web.StreamResponse:
            if (await request.json())["model"] == "chat":
                return web.Response(status=404)
            return await super().completions(request)

    with serving(Without()) as server:
        done = calibrate(server.url, tmp_path, "--adapter", "chat")
    assert done.exit_code == 2
    assert "--adapter is 'chat', and" in done.output


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(Paced()) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "calibration.cli", "endpoint", "--url", server.url, "--model", "m",
             "--shape", "Llama-3.1-8B", "--device", "L40S", "--out", str(tmp_path / "p.json"),
             "--budget", "60s", "--max-concurrency", "2", "--longest-prompt", "64"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while len(server.seen) < 5 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.startswith("interrupted. Nothing is half-written")
    assert not list(tmp_path.iterdir())


def test_a_page_that_does_not_end_is_left() -> None:
    """Metrics of a server that sends and sends: no more than a bounded part is read."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 2**28:
            await response.write(b"x" * 2**20)
            sent += 2**20
        return response

    async def page(url: str) -> tuple[int, str]:
        async with Prober(Target(f"{url}/v1", "m", KINDS["vllm"]), Bounds(60.0, 10, 1)) as prober:
            return await prober.get("/metrics")

    app = web.Application()
    app.router.add_get("/metrics", endless)
    with running(app) as address:
        assert asyncio.run(page(address)) == (0, "")
    assert sent < 2**26
