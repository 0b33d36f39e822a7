"""What the audit of dependencies makes of pip-audit's answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).parents[1] / ".ci" / "audit.py"
_SPEC = importlib.util.spec_from_file_location("audit", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
audit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit)

GOOD = {"name": "numpy", "version": "2.4.0", "vulns": []}
BAD = {"name": "aiohttp", "version": "3.0.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1.0"]}]}
UNKNOWN = {"name": "uvicorn", "version": "99", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        ([GOOD, GOOD], 0, "no known vulnerability in 2 pinned dependencies."),
        ([GOOD, UNKNOWN], 0, "in 1 pinned dependencies; 1 it does not know."),
        ([UNKNOWN], 0, "not done, the service knows none of the 1 pinned versions"),
        ([GOOD, BAD, UNKNOWN], 1, "aiohttp 3.0.0: CVE-1; mended in 3.1.0"),
    ],
)
def test_a_known_vulnerability_fails_the_build_and_what_is_unknown_does_not(
    rows: list[dict[str, Any]], code: int, words: str
) -> None:
    found, sentence = audit.verdict(json.dumps({"dependencies": rows}), "")
    assert found == code
    assert words in sentence


@pytest.mark.parametrize("output", ["", "no JSON", "[]", "{}"])
def test_where_it_cannot_ask_it_says_so(output: str) -> None:
    code, sentence = audit.verdict(output, "Traceback\nConnectionError: no route to host\n")
    assert code == 0
    assert "could not be asked (ConnectionError: no route to host)" in sentence
