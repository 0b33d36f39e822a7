"""Fixtures of the faces: the hand-built answer, and an API that gives it."""

from __future__ import annotations

import pytest

from advisor.recommendation import Recommendation
from tests.faces.example import example


@pytest.fixture
def rec() -> Recommendation:
    return example()
