"""What the guided fuzzer is asked, and what it leaves in `report.json`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Job:
    """What to run; `folder` gets `report.json`, contents that show a fault, and libFuzzer's corpus."""

    target: str
    inputs: int
    seed: int
    seconds: int  # 0: no limit
    folder: str


@dataclass(slots=True)
class Report:
    """What came of it so far; the last `_EVERY` inputs may be missing."""

    inputs: int = 0
    returned: int = 0
    sentences: int = 0  # distinct, by their words without values
    slowest_s: float = 0.0
    faults: list[dict[str, str]] = field(default_factory=list)
