"""What the probes saw, one record a figure; they are kept beside the profile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["ttft", "decode", "beside", "apart", "held_out"]
Heat = Literal["warm", "slot", "disk", "churn"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one first token, or of the mean step of a short run of steps.

    Attributes:
        kind: ttft: one request on an idle server. decode: steps of `decodes` streams. beside: the one step
            that takes a prompt of `prompt_tokens` beside `decodes` streams. apart: the same where prompts
            have steps of their own: those, and the decode step after them. held_out: decode, in no fit.
        prompt_tokens: of the prompt.
        decodes: sequences that decode in the step.
        context_tokens: of the decoding sequences together, before the step.
        adapters: distinct ones in the step.
    """

    kind: Kind
    seconds: float
    prompt_tokens: int = 0
    decodes: int = 0
    context_tokens: float = 0.0
    adapters: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """TTFT of a short prompt to an adapter that is warm, in host memory alone, on disk, or just loaded."""

    heat: Heat
    seconds: float


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the saturation ramp: so many streams at once."""

    streams: int
    tokens_per_s: float
    ttft_s: float
    together: int  # most streams that decoded at once
    queue_s: float | None = None  # mean, as the server says


@dataclass(slots=True)
class Findings:
    """All of a run."""

    samples: list[Sample] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Sample]:
        """Samples of one kind."""
        return [sample for sample in self.samples if sample.kind == kind]

    def note(self, text: str) -> None:
        """Remember a sentence once."""
        if text not in self.notes:
            self.notes.append(text)


def save_findings(findings: Findings, path: Path) -> None:
    """One JSON line a figure, the facts first."""
    from advisor.files import write_text

    lines = [json.dumps({"facts": findings.facts, "notes": findings.notes})]
    groups: tuple[tuple[str, Sequence[Any]], ...] = (
        ("sample", findings.samples), ("load", findings.loads), ("level", findings.levels),
    )  # fmt: skip
    lines += [json.dumps({name: asdict(record)}) for name, records in groups for record in records]
    write_text(path, "\n".join(lines) + "\n")
