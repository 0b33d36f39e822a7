"""llama.cpp: what it says of itself in /props and /lora-adapters, and adapters that never share a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
pytest.importorskip("torch", reason="no torch; install the extra calibrate")
from aiohttp import web
from click.testing import CliRunner, Result

from advisor.profile import load_profile
from calibration.cli import main
from tests.endpoint.servers import Paced
from tests.replay.faulty import running

BASE = [{"id": 0, "scale": 0.0}]


@contextmanager
def llama(server: Paced, slots: int = 2, adapters: int = 2) -> Iterator[str]:
    """Its pages, beside completions that are paced."""

    async def props(_: web.Request) -> web.Response:
        return web.json_response(
            {"total_slots": slots, "build_info": "b11434", "default_generation_settings": {"n_ctx": 512}}
        )

    async def listed(_: web.Request) -> web.Response:
        return web.json_response([{"id": number, "scale": 1.0} for number in range(adapters)])

    app = web.Application()
    app.router.add_get("/props", props)
    app.router.add_get("/lora-adapters", listed)
    app.router.add_post("/v1/completions", server.completions)
    with running(app) as address:
        yield address


def calibrate(url: str, out: Path, *more: str) -> Result:
    return CliRunner().invoke(
        main,
        ["endpoint", "--url", url, "--model", "m", "--shape", "Llama-3.2-1B", "--device", "L40S",
         "--server", "llama.cpp", "--max-num-seqs", "2", "--out", str(out / "p.json"), "--budget", "6s",
         "--max-concurrency", "2", "--longest-prompt", "64", *more],
    )  # fmt: skip


def test_adapters_go_by_number_never_two_in_a_ramp_and_the_build_is_in_the_profile(tmp_path: Path) -> None:
    server = Paced()
    with llama(server) as url:
        done = calibrate(url, tmp_path, "--adapter", "sql=1", "--adapter", "0", "--max-requests", "160")
    assert done.exit_code == 0, done.output
    profile = load_profile(tmp_path / "p.json")
    assert (profile.engine, profile.engine_version) == ("llama.cpp", "b11434")
    assert profile.models[0].lora is not None
    asked: list[Any] = [body["lora"] for body in server.seen]
    assert {str(one) for one in asked} == {str(BASE), *(f"[{{'id': {n}, 'scale': 1.0}}]" for n in (0, 1))}
    assert all(body["cache_prompt"] is False for body in server.seen)
    assert "max_loras 1, max_cpu_loras 2" in done.output
    assert any("without --kv-unified" in note for note in profile.notes)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--adapter", "sql"), "--adapter is 'sql'; allowed for llama.cpp: NAME=NUMBER or NUMBER"),
        (("--adapter", "sql=2"), "which {url} does not have; allowed: 0 to 1."),
        (("--max-num-seqs", "4"), "{url} has 2 slots; allowed: what the server was started with"),
        (("--adapter", "0", "--max-loras", "2"), "--max-loras is 2; allowed for llama.cpp: 1"),
        (("--adapter", "sql=0", "--allow-adapter-churn"), "llama.cpp loads adapters at its start alone"),
        (("--longest-prompt", "500"), "as the server takes 512 tokens"),
    ],
)
def test_what_it_cannot_be_is_refused_before_a_completion_is_asked(
    more: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    server = Paced()
    with llama(server) as url:
        done = calibrate(url, tmp_path, *more)
    assert done.exit_code == 2, done.output
    assert sentence.format(url=url) in " ".join(done.output.split())
    assert len(server.seen) <= 1
    assert not list(tmp_path.iterdir())


def test_a_server_without_adapters_would_take_the_base_and_say_nothing(tmp_path: Path) -> None:
    with llama(Paced(), adapters=0) as url:
        done = calibrate(url, tmp_path, "--adapter", "0")
    assert done.exit_code == 2
    assert "allowed: none, as it was started without --lora" in done.output
