"""Predicted beside measured: the report of `calibrate validate`, or what `calibrate compare --json` prints.

Both are read here as one list of figures. What a page does not need of them is left unread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from advisor.errors import InputError, validated

Number = Annotated[float, Field(ge=0, le=1e15)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Unit = Literal["s", "requests/s", "tokens/s", "tokens a step"]
_ALLOWED: Final = "allowed: report.json of `calibrate validate`, or what `calibrate compare --json` prints."


@dataclass(frozen=True, slots=True)
class Held:
    """One figure of one run. `allowed` is a share: None where nothing says how far off it may be."""

    run: str
    figure: str
    unit: Unit
    measured: float
    predicted: float
    allowed: float | None = None
    noise: float | None = None

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1.0

    @property
    def holds(self) -> bool | None:
        """Whether the error is within what is allowed; None: nothing says."""
        return None if self.allowed is None else abs(self.error) <= self.allowed


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _Figures(_Read):
    ttft_s: dict[str, Number]
    tpot_s: dict[str, Number]
    itl_s: dict[str, Number]
    e2e_s: dict[str, Number]
    output_tokens_per_s: Number
    load_s: Number
    acceptance_length: Number

    def of(self, cell: str) -> tuple[Unit, float] | None:
        """The unit and the value of a validation's cell, such as `ttft p50`; None: there is no such."""
        whole: dict[str, tuple[Unit, float]] = {
            "throughput": ("tokens/s", self.output_tokens_per_s),
            "adapter loads": ("s", self.load_s),
            "acceptance length": ("tokens a step", self.acceptance_length),
        }
        if cell in whole:
            return whole[cell]
        latency, _, percentile = cell.partition(" ")
        known: dict[str, Any] = {
            "ttft": self.ttft_s,
            "tpot": self.tpot_s,
            "itl": self.itl_s,
            "e2e": self.e2e_s,
        }
        value = known.get(latency, {}).get(percentile)
        return None if value is None else ("s", value)


class _Cell(_Read):
    name: Name
    noise: Number
    allowed: Number


class _Option(_Read):
    name: Name
    predicted: _Figures
    measured: _Figures
    cells: tuple[_Cell, ...] = Field(max_length=200)


class _Case(_Read):
    name: Name
    options: tuple[_Option, ...] = Field(max_length=200)


class _Validation(_Read):
    schema_version: Literal[1]
    cases: tuple[_Case, ...] = Field(max_length=1000)


class _Compared(_Read):
    figure: Name
    unit: Literal["s", "requests/s", "tokens/s"]
    measured: Number
    predicted: Number


class _Named(_Read):
    name: Name


class _Run(_Read):
    measured: _Named
    cells: tuple[_Compared, ...] = Field(max_length=200)


class _Comparison(_Read):
    schema_version: Literal[1]
    runs: tuple[_Run, ...] = Field(max_length=1000)


def held_of(raw: dict[str, Any], source: str) -> tuple[Held, ...]:
    """The figures of a validation's report or of a comparison; those that were not measured are left out.

    Raises:
        InputError: it is neither, or broken.
    """
    if "cases" in raw:
        whole = validated(_Validation, raw, source)
        return tuple(
            held
            for case in whole.cases
            for option in case.options
            for held in _of_option(f"{case.name}: {option.name}", option)
        )
    if "runs" in raw:
        found = validated(_Comparison, raw, source)
        return tuple(
            Held(run.measured.name, cell.figure, cell.unit, cell.measured, cell.predicted)
            for run in found.runs
            for cell in run.cells
            if cell.measured > 0
        )
    raise InputError(f"{source}: is no result of a comparison; {_ALLOWED}")


def _of_option(run: str, option: _Option) -> list[Held]:
    rows = []
    for cell in option.cells:
        predicted, measured = option.predicted.of(cell.name), option.measured.of(cell.name)
        if predicted is None or measured is None or measured[1] <= 0:
            continue
        name = cell.name if cell.name[:4] not in ("ttft", "tpot", "itl ", "e2e ") else _upper(cell.name)
        rows.append(Held(run, name, measured[0], measured[1], predicted[1], cell.allowed, cell.noise))
    return rows


def _upper(cell: str) -> str:
    latency, _, percentile = cell.partition(" ")
    return f"{latency.upper()} {percentile}"
