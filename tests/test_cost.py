"""Prices by hand."""

from __future__ import annotations

import pytest

from advisor.cost import cost_of


def test_price_by_hand() -> None:
    cost = cost_of(devices=3, usd_per_device_hour=2.0, tokens_per_s=10_000.0, output_tokens_per_s=2_500.0)
    assert cost.usd_per_hour == pytest.approx(6.0)
    assert cost.usd_per_mtok == pytest.approx(6.0 / 36.0)  # 36 million tokens an hour
    assert cost.usd_per_mtok_output == pytest.approx(6.0 / 9.0)


def test_nothing_served_has_no_price_a_token() -> None:
    assert cost_of(1, 2.0, 0.0, 0.0).usd_per_mtok is None
