"""Every page by axe, light and dark, and on a phone: no serious finding, nothing wider than the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.accessibility import serious
from tests.browser.visit import SMALL, get_answer, go_to, open_app, open_scenario, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light")],
    ids=["light", "dark", "phone"],
)
def test_no_page_has_a_serious_finding(browser: Browser, address: str, viewport: Any, scheme: Any) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    open_app(page, address)
    open_scenario(page, SMALL)
    page.get_by_text("Advanced: engine").click()
    page.get_by_text("The scenario as YAML: import").click()
    settled(page)
    found = {"ask": serious(page)}
    get_answer(page)
    found["answer"] = serious(page)
    for tab in ("Deploy", "Load and slots", "How sure", "As asked"):
        page.get_by_role("tab", name=tab, exact=True).click()
        settled(page)
        found[tab] = serious(page)
    for name in ("Why", "What if", "Inside", "Calibration", "Replay", "What is known"):
        unfold = page.get_by_test_id("stExpandSidebarButton")  # a phone's list of pages is folded away
        if unfold.is_visible():
            unfold.click()
        go_to(page, name)
        if name == "Inside":
            page.get_by_text("Requests that run in a step").wait_for()
            settled(page)
        page.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
        found[name] = serious(page)
    context.close()
    assert {name: findings for name, findings in found.items() if findings} == {}
