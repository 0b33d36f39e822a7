"""What a visitor does, step by step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Page

ANSWER_MS = 180_000
SMALL = """\
schema_version: 1
name: small one
model: Llama-3.1-8B
adapters:
  count: 2
  rank: 8
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


_QUIET = """() => {
    const busy = ['stStatusWidget', 'stSkeleton'].some(id => document.querySelector(`[data-testid="${id}"]`))
        || document.querySelector('[data-stale="true"]');
    const now = performance.now();
    if (busy || !window.quietSince) { window.quietSince = busy ? 0 : now; return false; }
    return now - window.quietSince > 600;
}"""


_AT = "path => (location.pathname.split('/').filter(Boolean).pop() || '') === path"
CLICKS = 6


def open_app(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Get the answer").wait_for()
    settled(page)


def settled(page: Page) -> None:
    """Wait until the server has nothing more to show."""
    page.evaluate("() => { window.quietSince = 0; }")
    page.wait_for_function(_QUIET)


def open_scenario(page: Page, text: str, name: str = "mine.yaml") -> None:
    """Open a scenario file by the page's own button."""
    page.get_by_role("button", name="Open a scenario file").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "text/yaml", "buffer": text.encode()}
    )
    page.get_by_text(f"the file {name}").first.wait_for()
    page.keyboard.press("Escape")
    settled(page)


def get_answer(page: Page) -> None:
    """Press the button and wait for the whole answer."""
    settled(page)
    page.get_by_role("button", name="Get the answer").click()
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for(timeout=ANSWER_MS)
    page.get_by_text("on their way").wait_for(state="hidden", timeout=ANSWER_MS)
    settled(page)


def go_to(page: Page, name: str) -> None:
    """Click a page's link; again where the click fell into the moment in which the page was drawn anew."""
    from playwright.sync_api import TimeoutError as NotYet

    link = page.get_by_role("link", name=name, exact=True)
    for _ in range(CLICKS):
        path = urlsplit(link.get_attribute("href") or "").path.rstrip("/").rpartition("/")[2]
        link.click()
        try:
            page.wait_for_function(_AT, arg=path, timeout=10_000)
            break
        except NotYet:
            continue
    settled(page)
