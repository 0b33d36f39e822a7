"""How fast the web app is for a visitor: `python -m benchmarks.app_speed [--rounds 3] [--write]`.

Starts the app as it is shipped, opens it in a real browser (chromium), asks the example and moves the load's
slider. Wall seconds of everything the visitor waits for, browser and server on the same machine, so that they
count on an otherwise idle one alone. --write puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks._page import ROOT, replace_block, table
from tests.browser.conftest import chromium, wait_for
from tests.browser.visit import ANSWER_MS, go_to, open_app, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE = ROOT / "docs" / "performance.md"
TARGETS = {
    "first paint, warm": "3 s",
    "ranking, after the click": "5 s",
    "whole answer, after the click": "5 s",
    "moved slider, until the new verdict": "1 s",
}


@contextmanager
def app() -> Iterator[str]:
    """The address of the app on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "advisor", "app", "--port", str(port), "--no-browser"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(20)


def visit(browser: Browser, address: str) -> dict[str, float]:
    """One visitor: seconds of each wait."""
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.set_default_timeout(ANSWER_MS)
    found: dict[str, float] = {}
    started = time.perf_counter()
    page.goto(address)
    page.get_by_role("button", name="Get the answer").wait_for()
    found["first paint, warm"] = time.perf_counter() - started
    settled(page)
    started = time.perf_counter()
    page.get_by_role("button", name="Get the answer").click()
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for()
    found["ranking, after the click"] = time.perf_counter() - started
    page.get_by_text("on their way").wait_for(state="hidden")
    found["whole answer, after the click"] = time.perf_counter() - started
    settled(page)
    go_to(page, "What if")
    found["moved slider, until the new verdict"] = _slide(page)
    page.context.close()
    return found


def _slide(page: Page) -> float:
    """Median seconds from a key on the load's slider until the verdict has another text."""
    verdict = page.locator("#verdict")
    verdict.get_by_text("The choice stands").wait_for()
    load = page.get_by_role("slider", name=re.compile("Load"))
    waits = []
    for _ in range(4):
        before = page.locator("[data-testid=stMain]").inner_text()
        started = time.perf_counter()
        load.press("ArrowRight")
        page.wait_for_function(
            "old => document.querySelector('[data-testid=stMain]').innerText !== old", arg=before
        )
        settled(page)
        waits.append(time.perf_counter() - started - 0.6)  # `settled` has watched 0.6 s of silence
    return statistics.median(waits)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="servers started, one visitor after a warm-up each"
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    rows: list[dict[str, float]] = []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(asked.rounds):
            with app() as address:
                first = browser.new_context().new_page()
                open_app(first, address)  # the server's first visitor imports what the others find
                first.context.close()
                rows.append(visit(browser, address))
        browser.close()
    cells = []
    for name, target in TARGETS.items():
        values = sorted(row[name] for row in rows)
        cells.append(
            (name, f"{statistics.median(values):.1f} s ({values[0]:.1f} to {values[-1]:.1f})", target)
        )
    text = table((f"the example in a browser ({os.cpu_count()} cores)", "median", "target"), cells)
    print(text)
    if asked.write:
        replace_block(PAGE, "app", text)


if __name__ == "__main__":
    main()
