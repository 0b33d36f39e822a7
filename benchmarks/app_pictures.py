"""The pictures of docs/app, taken anew: `python -m benchmarks.app_pictures`. Look at them afterwards.

Asks the shipped example in a real browser: the form, the answer, what if, inside.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks._page import ROOT
from benchmarks.app_speed import app
from tests.browser.conftest import chromium
from tests.browser.visit import ANSWER_MS, get_answer, go_to, open_app, settled

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = ROOT / "docs" / "app"
LAPTOP = {"width": 1280, "height": 720}


def take(page: Page, name: str) -> None:
    """The visible part of the page, once nothing changes any more."""
    settled(page)
    page.mouse.move(0, 0)
    page.screenshot(path=FOLDER / f"{name}.png")
    print(f"docs/app/{name}.png")


def main() -> None:
    """Take all of them."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool, app() as address:
        browser = tool.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]  # two numbers by name
        page.set_default_timeout(ANSWER_MS)
        open_app(page, address)
        take(page, "ask")
        get_answer(page)
        page.get_by_text("on their way").wait_for(state="hidden")
        take(page, "answer")
        go_to(page, "What if")
        page.locator("#verdict").get_by_text("The choice stands").wait_for()
        take(page, "whatif")
        go_to(page, "Inside")
        page.get_by_text(re.compile("Replica 1 of")).first.wait_for()
        page.set_viewport_size({"width": 1280, "height": 1350})
        take(page, "inside")
        browser.close()


if __name__ == "__main__":
    main()
