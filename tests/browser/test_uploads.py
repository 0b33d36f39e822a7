"""Uploads in a real browser: a good trace, a broken one, a binary one, one that is too large."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.visit import SMALL, open_app, open_scenario, settled

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

GOOD = "arrival_s,prompt_tokens,output_tokens\n" + "".join(f"{i * 0.5},300,40\n" for i in range(200))


@pytest.fixture
def at_upload(page: Page, address: str) -> Page:
    """At the place where a trace is uploaded."""
    open_app(page, address)
    open_scenario(page, SMALL)
    page.get_by_role("combobox", name=re.compile("Requests come")).click()
    page.get_by_role("option", name="My trace (upload)").click()
    page.get_by_text("A trace: Azure").wait_for()
    settled(page)
    return page


def upload(page: Page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").last.set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )


def test_a_trace_is_understood(at_upload: Page) -> None:
    upload(at_upload, "my requests.csv", GOOD.encode())
    at_upload.get_by_text(re.compile(r"uploads/my-requests-[0-9a-f]{16}\.csv")).first.wait_for()
    at_upload.get_by_text("300 tokens on average, p99 300").wait_for()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("binary.csv", os.urandom(4096), "is binary"),
        ("broken.csv", b"a,b\n1,2\n", "column"),
        ("bomb.gz", b"\x1f\x8b\x08\x00garbage", "uploads/bomb"),
        ("other.parquet", b"PAR1nothing", "uploads/other"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_without_the_servers_folders(
    at_upload: Page, name: str, content: bytes, sentence: str
) -> None:
    upload(at_upload, name, content)
    alert = at_upload.get_by_role("alert").filter(has_text=sentence).first
    alert.wait_for()
    said = alert.inner_text()
    assert "/tmp" not in said
    assert "Traceback" not in said


def test_a_file_above_the_limit_is_refused(at_upload: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(65 * 2**20)
    at_upload.locator("input[type=file]").last.set_input_files(large)
    at_upload.get_by_text(re.compile("must be 64")).first.wait_for()


def test_a_scenario_that_is_no_text_is_a_sentence(page: Page, address: str) -> None:
    open_app(page, address)
    page.get_by_role("button", name="Open a scenario file").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "x.yaml", "mimeType": "text/yaml", "buffer": b"\xff\xfe\x00\x01"}
    )
    page.get_by_text("is not UTF-8 text").first.wait_for()
