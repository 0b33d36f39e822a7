"""Everything that is fuzzed, by name; hypothesis and the guided fuzzer share this list."""

from __future__ import annotations

from typing import Final

from tests.fuzz import advisor_targets as advised
from tests.fuzz import calibration_targets as measured
from tests.fuzz.target import Target

_ALL: Final = [
    *advised.SPEC, *advised.TRACES, *advised.ANSWERS, *advised.WEB,
    *measured.RESULTS, *measured.IMPORTERS, *measured.LIVE,
]  # fmt: skip
TARGETS: Final[dict[str, Target]] = {target.name: target for target in _ALL}
assert len(TARGETS) == len(_ALL), "two targets of one name"
