"""What a user does, in a real browser: open, pick an example, run, read, download, see an error."""

from __future__ import annotations

import os
import re
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

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
ANSWER_MS = 180_000
SMALL = """\
schema_version: 1
name: small one
model: Llama-3.1-8B
adapters: {count: 2, rank: 8}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 2 req/s}
  prompt_tokens: {kind: fixed, tokens: 200}
  output_tokens: {kind: fixed, tokens: 40}
  duration: 60s
objective: {preset: server}
devices: [H100-80-SXM]
search: {requests: 100}
"""


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as it is shipped, on a free port of this machine."""
    pytest.importorskip("streamlit", reason="streamlit is not installed (extra 'app')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("app") / "log").open("w")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
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


@pytest.fixture
def page(address: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A fresh page; on failure its picture is kept."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium() is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1300, "height": 1000}, accept_downloads=True)
        errors: list[Any] = []
        opened.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright marks its handlers
        failed = request.session.testsfailed
        yield opened
        if request.session.testsfailed > failed:
            opened.screenshot(path=tmp_path / "failed.png", full_page=True)
        browser.close()
        assert errors == []


def test_pick_an_example_run_it_read_the_answer_and_take_it_away(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(address)
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="three-adapters-busy").click()
    page.get_by_text("In the editor: the example three-adapters-busy").wait_for(timeout=30_000)
    page.get_by_role("button", name="Recommend").click()
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for(timeout=ANSWER_MS)
    page.wait_for_url(re.compile("example=three-adapters-busy"), timeout=30_000)
    page.get_by_text("The ways to serve, ranked").wait_for()
    page.get_by_test_id("stVegaLiteChart").first.wait_for()
    page.get_by_role("tab", name="Why").click()
    page.get_by_text("Where each millisecond goes").wait_for()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Report (HTML)").click()
    download.value.save_as(tmp_path / "answer.html")
    report = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert report.startswith("<!doctype html>")
    assert "three busy adapters" in report


def test_upload_a_scenario_see_its_error_mend_it_and_send_it_on(page: Page, address: str) -> None:
    from playwright.sync_api import expect

    page.goto(address)
    page.get_by_role("button", name="Recommend").wait_for()
    broken = SMALL.replace("rank: 8", "rank: 0").encode()
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.yaml", "mimeType": "text/yaml", "buffer": broken}
    )
    page.get_by_text("In the editor: mine.yaml").wait_for()
    page.get_by_role("button", name="Recommend").click()
    page.get_by_text("adapters.rank is 0").wait_for(timeout=30_000)
    page.get_by_text("The scenario: edit it here").click()
    page.get_by_role("textbox", name="YAML").fill(SMALL)
    page.get_by_role("textbox", name="YAML").press("Control+Enter")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for(timeout=ANSWER_MS)
    page.goto(page.url)
    page.get_by_text("The scenario: edit it here").click()
    expect(page.get_by_role("textbox", name="YAML")).to_have_value(SMALL, timeout=30_000)
