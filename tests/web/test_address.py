from __future__ import annotations

import base64
import zlib

import pytest

from advisor.errors import InputError
from advisor.web import address
from tests.web.minimal import MINIMAL


def test_round_trip() -> None:
    assert address.unpacked(address.packed(MINIMAL) or "") == MINIMAL


def test_a_long_scenario_is_not_put_into_an_address() -> None:
    noise = "".join(f"{i * 7919 % 10007:x}" for i in range(20_000))
    assert address.packed(noise) is None


def test_a_bomb_is_refused() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b"a" * (address.MAX_TEXT_BYTES * 20))).decode()
    with pytest.raises(InputError, match="more than"):
        address.unpacked(bomb)
