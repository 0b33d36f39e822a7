"""Predicted beside measured, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from advisor.spec.quantities import significant
from advisor.spec.spec import Spec
from calibration.results.measured import Latency, MeasuredRun

_LATENCIES: Final = ("ttft", "tpot", "itl", "e2e")
_WORDS: Final = {"mean_s": "mean", "p50_s": "p50", "p90_s": "p90", "p95_s": "p95", "p99_s": "p99"}


class Cell(Spec):
    """One figure of a run."""

    figure: str = Field(min_length=1, description="Such as `TTFT p50`.")
    unit: Literal["s", "requests/s", "tokens/s"]
    measured: Annotated[float, Field(ge=0)]
    predicted: Annotated[float, Field(ge=0)]

    @property
    def error(self) -> float | None:
        """Predicted over measured, less 1; None where nothing was measured."""
        return self.predicted / self.measured - 1.0 if self.measured > 0 else None


class ComparedRun(Spec):
    """One run."""

    measured: MeasuredRun
    predicted: MeasuredRun
    cells: tuple[Cell, ...]


class Comparison(Spec):
    """What `calibrate compare --json` prints."""

    schema_version: Literal[1] = 1
    profile: str
    runs: tuple[ComparedRun, ...]


def compared(measured: MeasuredRun, predicted: MeasuredRun) -> ComparedRun:
    """Every figure that both runs tell."""
    cells = [
        Cell(figure="requests", unit="requests/s", measured=measured.throughput_rps,
             predicted=predicted.throughput_rps),
        Cell(figure="output tokens", unit="tokens/s",
             measured=measured.throughput_rps * measured.output_tokens,
             predicted=predicted.throughput_rps * predicted.output_tokens),
    ]  # fmt: skip
    for name in _LATENCIES:
        cells += _cells(name.upper(), getattr(measured, name), getattr(predicted, name))
    return ComparedRun(measured=measured, predicted=predicted, cells=tuple(cells))


def _cells(title: str, measured: Latency, predicted: Latency) -> list[Cell]:
    found = []
    for field, word in _WORDS.items():
        left, right = getattr(measured, field), getattr(predicted, field)
        if left is not None and right is not None:
            found.append(Cell(figure=f"{title} {word}", unit="s", measured=left, predicted=right))
    return found


def comparison_text(runs: Sequence[ComparedRun]) -> str:
    """Tables to be read; latencies in milliseconds."""
    parts = []
    for run in runs:
        lines = [run.measured.name, f"{'':24s}{'measured':>12s}{'predicted':>12s}{'error':>10s}"]
        for cell in run.cells:
            unit, scale = ("ms", 1e3) if cell.unit == "s" else (cell.unit.removeprefix("requests"), 1.0)
            unit = unit.removeprefix("tokens")
            name = f"{cell.figure}{unit}" if unit.startswith("/") else f"{cell.figure}, {unit}"
            error = "" if cell.error is None else f"{100 * cell.error:+.1f} %"
            measured, predicted = (significant(scale * value, 4) for value in (cell.measured, cell.predicted))
            lines.append(f"{name:24s}{measured:>12s}{predicted:>12s}{error:>10s}")
        lines += run.predicted.notes
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
