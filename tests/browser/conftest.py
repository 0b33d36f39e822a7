"""The app as it is shipped, on a free port of this machine; a real browser; one page a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a free port."""
    pytest.importorskip("streamlit", reason="streamlit is not installed (extra 'app')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("app") / "log").open("w")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LORA_ADVISOR_JOBS": "1"},
    )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> str:
    until_ns = time.perf_counter_ns() + 60_000_000_000
    while time.perf_counter_ns() < until_ns:
        assert process.poll() is None, "the app ended before it answered"
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return url
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("the app did not answer within a minute")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a file: while it is open playwright's event loop runs, and other files start loops of their own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium() is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A fresh visitor on a laptop; on failure its picture is kept. Nothing is asked of another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    errors: list[Any] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright marks its handlers
    opened.on("request", lambda sent: asked.append(sent.url))
    failed = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failed:
        opened.screenshot(path=tmp_path / "failed.png", full_page=True)
    context.close()
    assert errors == []
    assert {host for url in asked if (host := urlsplit(url).hostname)} <= {"127.0.0.1"}
