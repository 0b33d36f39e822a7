"""Why, Inside, Calibration and Replay in a real browser: zoom, data, a stopped child, a result file."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.visit import ANSWER_MS, SMALL, get_answer, go_to, open_app, open_scenario, settled
from tests.web.test_measuring_pages import report

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed (extra 'calibrate')"
)


def test_why_and_inside_zoom_by_brush_and_by_keyboard(page: Page, address: str, tmp_path: Path) -> None:
    open_app(page, address)
    open_scenario(page, SMALL)
    get_answer(page)
    go_to(page, "Why")
    page.get_by_text("How latency is distributed").wait_for(timeout=ANSWER_MS)
    go_to(page, "Inside")
    whole = page.get_by_role("heading", name="Replica 1 of 1, 0 s to")
    whole.wait_for(timeout=ANSWER_MS)
    settled(page)
    box = page.get_by_test_id("stVegaLiteChart").first.bounding_box()
    assert box is not None
    y = box["y"] + 25
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=8)
    page.mouse.up()
    whole.wait_for(state="hidden")
    settled(page)
    brushed = page.get_by_role("heading", name="Replica 1 of 1").inner_text()
    page.get_by_role("slider").first.press("ArrowRight")
    settled(page)
    assert page.get_by_role("heading", name="Replica 1 of 1").inner_text() != brushed
    with page.expect_download() as download:
        page.get_by_role("button", name="Data (CSV)").last.click()
    download.value.save_as(tmp_path / "requests.csv")
    head = (tmp_path / "requests.csv").read_text(encoding="utf-8").splitlines()[0]
    assert {"request", "adapter", "phase", "from_s", "to_s"} <= set(head.split(","))


@needs_torch
def test_a_calibration_shows_progress_is_stopped_and_leaves_no_profile(page: Page, address: str) -> None:
    open_app(page, address)
    go_to(page, "Calibration")
    page.get_by_role("tab", name="Measure this machine").click()
    page.get_by_role("button", name="Calibrate").click()
    page.get_by_role("progressbar").wait_for()
    page.get_by_text("starting").wait_for(state="hidden", timeout=ANSWER_MS)  # it tells how far it is
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Calibrate").wait_for()
    assert page.get_by_role("progressbar").count() == 0
    assert page.get_by_text("is measured. It stands under").count() == 0
    page.get_by_role("button", name="Calibrate").click()  # the next begins once the stopped one has ended
    page.get_by_role("progressbar").wait_for()
    page.get_by_role("button", name="Stop").click()


def test_a_results_file_is_shown_with_what_holds_and_what_does_not(page: Page, address: str) -> None:
    open_app(page, address)
    go_to(page, "Replay")
    page.get_by_role("tab", name="Open a result").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "report.json", "mimeType": "application/json", "buffer": json.dumps(report()).encode()}
    )
    page.get_by_text("1 of 2 figures hold.").wait_for()
    page.get_by_test_id("stVegaLiteChart").first.wait_for()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "x.parquet", "mimeType": "application/octet-stream", "buffer": b"PAR1 nonsense"}
    )
    page.get_by_text("is no replay result").wait_for()
