"""What a visitor does, in a real browser: ask, read the answer and the reasons, vary it, take it away."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.visit import ANSWER_MS, SMALL, get_answer, go_to, open_app, open_scenario, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def test_ask_read_the_answer_its_reasons_vary_it_and_take_it_away(
    page: Page, address: str, tmp_path: Path
) -> None:
    open_app(page, address)
    page.get_by_role("combobox", name=re.compile("Start from")).click()
    page.get_by_role("option", name="Three adapters busy").click()
    page.get_by_text("Three products share one base model").wait_for()
    get_answer(page)
    assert "example=three-adapters-busy" in page.url
    page.get_by_text("The ways to serve, ranked").wait_for()
    page.get_by_test_id("stVegaLiteChart").first.wait_for()

    go_to(page, "Why")
    page.get_by_text("Where each millisecond goes").wait_for()

    go_to(page, "What if")
    verdict = page.locator("#verdict")
    verdict.get_by_text("The choice stands").wait_for(timeout=ANSWER_MS)
    load = page.get_by_role("slider", name=re.compile("Load"))
    for _ in range(5):
        load.press("ArrowRight")
    verdict.get_by_text("The choice stands").wait_for(state="hidden", timeout=ANSWER_MS)

    go_to(page, "Answer")
    page.get_by_test_id("stPopoverButton").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    download.value.save_as(tmp_path / "answer.html")
    report = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert report.startswith("<!doctype html>")
    assert "three busy adapters" in report
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Deploy").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="All files (zip)").click()
    download.value.save_as(tmp_path / "recipe.zip")
    with zipfile.ZipFile(tmp_path / "recipe.zip") as archive:
        assert {"README.md", "kubernetes.yaml", "alerts.yaml"} <= set(archive.namelist())


def test_every_chart_can_be_taken_as_data(page: Page, address: str, tmp_path: Path) -> None:
    open_app(page, address)
    open_scenario(page, SMALL)
    get_answer(page)
    page.get_by_test_id("stVegaLiteChart").nth(3).wait_for()
    charts = page.locator("[data-testid=stVegaLiteChart]:visible").count()
    buttons = page.get_by_role("button", name="Data (CSV)")
    assert charts >= 4
    assert buttons.count() == charts
    with page.expect_download() as download:
        buttons.first.click()
    download.value.save_as(tmp_path / "data.csv")
    assert "usd_per_hour" in (tmp_path / "data.csv").read_text(encoding="utf-8").splitlines()[0]


def test_a_fault_stands_at_its_field_is_mended_there_and_the_link_keeps_the_scenario(
    page: Page, address: str
) -> None:
    from playwright.sync_api import expect

    open_app(page, address)
    open_scenario(page, SMALL.replace("rank: 8", "rank: 0"))
    page.get_by_text("adapters.rank is 0").wait_for()
    expect(page.get_by_role("button", name="Get the answer")).to_be_disabled()
    rank = page.get_by_role("spinbutton", name="Rank")
    rank.fill("16")
    rank.press("Enter")
    page.get_by_text("adapters.rank is 0").wait_for(state="hidden")
    get_answer(page)
    page.goto(page.url)
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for()
    go_to(page, "Ask")
    expect(page.get_by_role("spinbutton", name="Rank")).to_have_value("16")


def test_an_answer_under_way_can_be_stopped(page: Page, address: str) -> None:
    open_app(page, address)
    open_scenario(page, SMALL.replace("requests: 100", "requests: 20000").replace("60s", "4h"))
    page.get_by_role("button", name="Get the answer").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("No answer yet").wait_for()
    assert page.get_by_role("progressbar").count() == 0


def test_by_keyboard_alone(page: Page, address: str) -> None:
    open_app(page, address)
    open_scenario(page, SMALL)
    button = page.get_by_role("button", name="Get the answer")
    page.get_by_role("combobox", name=re.compile("Start from")).focus()
    for _ in range(80):
        if button.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=re.compile("^Serve ")).wait_for(timeout=ANSWER_MS)


def test_two_visitors_at_once_have_their_own_scenario_and_answer(browser: Browser, address: str) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    first, second = (context.new_page() for context in contexts)
    for visitor, name in ((first, "one's own"), (second, "another's")):
        open_app(visitor, address)
        open_scenario(visitor, SMALL.replace("small one", name))
        visitor.get_by_role("button", name="Get the answer").click()
    for visitor, name in ((first, "one's own"), (second, "another's")):
        visitor.get_by_role("heading", name=re.compile("^Serve ")).wait_for(timeout=ANSWER_MS)
        visitor.get_by_text("on their way").wait_for(state="hidden", timeout=ANSWER_MS)
        settled(visitor)
        visitor.get_by_test_id("stPopoverButton").click()
        with visitor.expect_download() as download:
            visitor.get_by_role("button", name="Answer (JSON)").click()
        assert json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["scenario"] == name
    for context in contexts:
        context.close()
