"""A reader that breaks on purpose, in each way that the guided fuzzer must tell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from advisor.errors import InputError
from tests.fuzz.target import Target, of_json

_KEPT: list[bytearray] = []
_SLOW: list[bool] = []
_WASTE_BYTES: Final = 400 * 2**20
_WASTE_S: Final = 1.2


def _broken(value: Any, _: Path) -> object:
    if not isinstance(value, dict):
        raise InputError("no object")
    if value.get("a") == 0:
        return 1 / value["a"]
    if isinstance(value.get("b"), list):
        raise InputError([])  # without a sentence
    if value.get("c") is None and not _KEPT:
        _KEPT.append(bytearray(b"x" * _WASTE_BYTES))
    if isinstance(value.get("d"), str) and len(_SLOW) < 2:
        _SLOW.append(True)  # the rest of the search need not wait
        until_s = time.process_time() + _WASTE_S
        while time.process_time() < until_s:
            pass
    return value


TARGETS: Final = {
    "broken": Target("broken", of_json(_broken), lambda: [b'{"a": 1, "b": 2, "c": 3, "d": 4}'], "json")
}
