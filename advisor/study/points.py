"""The points of a grid, and the question that each of them asks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from advisor.deployment import Choice
from advisor.errors import InputError, validated
from advisor.spec.scenario import Scenario
from advisor.spec.workload import FittedWorkload
from advisor.study.grid import Study
from advisor.trace.fitted import load_fitted

Value = float | int | str
_RATES = ("rate", "rate_on", "mean_rate")
"""Fields of an arrival process that are rates, see spec/workload.py."""
_IN_CHOICE = {
    "devices": "device",
    "ways": "way",
    "tensor_parallel": "tensor_parallel",
    "replicas": "replicas",
    "max_loras": "max_loras",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid: the value on each axis, in the order of the axes."""

    at: tuple[tuple[str, Value], ...]

    @property
    def words(self) -> str:
        """The point for people, such as `load 2, ranks 16`."""
        return ", ".join(f"{axis} {value:g}" if isinstance(value, float) else f"{axis} {value}"
                         for axis, value in self.at)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked at a point; no choice: the whole search."""

    scenario: Scenario
    choice: Choice | None


def points_of(study: Study) -> list[Point]:
    """Every combination of the grid's values; the last axis moves fastest."""
    axes = study.grid.axes
    return [Point(tuple(zip(axes, values, strict=True))) for values in product(*axes.values())]


def ask_at(study: Study, scenario: Scenario, point: Point, folder: Path) -> Ask:
    """The question at a point, checked as if a user had written it.

    Args:
        study: what is asked.
        scenario: the study's scenario as it stands.
        point: where on the grid.
        folder: where the scenario's relative paths start.

    Raises:
        InputError: the scenario has no place for a value, or the value does not fit the rest of it.
    """
    raw = scenario.model_dump(mode="json", exclude_defaults=True)
    at = dict(point.at)
    for axis, value in at.items():
        if axis == "load":
            _set_load(raw, scenario, float(value), folder)
        elif axis == "seeds":
            raw["seed"] = value
        elif axis in ("adapters", "ranks"):
            _set_adapters(raw, axis, value, point)
        elif study.ask == "recommend":
            _set_search(raw, axis, value)
    asked = validated(Scenario, raw, f"{study.scenario} at {point.words}")
    if study.choice is None:
        return Ask(asked, None)
    changes = {_IN_CHOICE[axis]: value for axis, value in at.items() if axis in _IN_CHOICE}
    chosen = study.choice.model_dump(mode="json", exclude_defaults=True) | changes
    return Ask(asked, validated(Choice, chosen, f"choice at {point.words}"))


def _set_load(raw: dict[str, Any], scenario: Scenario, factor: float, folder: Path) -> None:
    """Multiply every request rate of the workload; the time that is drawn stays."""
    workload = raw["workload"]
    match workload["kind"]:
        case "trace":
            workload["rate_scale"] = workload.get("rate_scale", 1.0) * factor
        case "fitted":
            law = scenario.workload
            assert isinstance(law, FittedWorkload)
            rate_rps = law.rate if law.rate is not None else load_fitted(law.name, folder).arrivals.rate_rps
            workload["rate"] = f"{rate_rps * factor!r} req/s"
        case "generator":
            _faster(workload, scenario.workload, factor)
        case _:
            streams = getattr(scenario.workload, "streams", ())
            for stream, known in zip(workload["streams"], streams, strict=True):
                _faster(stream, known, factor)


def _faster(raw: dict[str, Any], holder: Any, factor: float) -> None:
    for name in _RATES:
        rate_rps = getattr(holder.arrivals, name, None)
        if rate_rps is not None:
            raw["arrivals"][name] = f"{rate_rps * factor!r} req/s"


def _set_adapters(raw: dict[str, Any], axis: str, value: Value, point: Point) -> None:
    adapters: dict[str, Any] = raw["adapters"]
    if "paths" in adapters:
        raise InputError(
            f"{axis} is {value} at {point.words}, but the scenario lists folders of adapters; "
            "allowed: a scenario that gives adapters by number (count, rank)."
        )
    if axis == "adapters":
        adapters["count"] = value
    else:
        adapters.pop("ranks", None)
        adapters["rank"] = value


def _set_search(raw: dict[str, Any], axis: str, value: Value) -> None:
    if axis == "devices":
        raw["devices"] = [value]
    elif axis in ("ways", "tensor_parallel"):
        raw.setdefault("search", {})[axis] = [value]
    elif axis == "max_loras":
        raw.setdefault("engine", {})["max_loras"] = value
