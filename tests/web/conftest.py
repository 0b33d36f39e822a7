from __future__ import annotations

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed (extra 'app')")

import streamlit

from advisor import api
from advisor.web import cores
from tests.web.driver import FakeApi


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    streamlit.cache_resource.clear()
    fake = FakeApi()
    monkeypatch.setattr(api, "recommend_in_parts", fake.recommend_in_parts)
    return fake


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app in one process: these tests are about pages."""
    monkeypatch.setenv(cores.VARIABLE, "1")
