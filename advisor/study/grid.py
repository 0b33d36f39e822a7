"""A study as a user writes it: a scenario, what is asked of it, and a grid of changes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from advisor.deployment import Choice
from advisor.errors import InputError, validated
from advisor.files import check_schema_version
from advisor.spec.adapter import Rank
from advisor.spec.scenario import Way
from advisor.spec.spec import Spec
from advisor.spec.yamlfile import parse_mapping, read_source

SCHEMA_VERSION: Final = 1
MOST_POINTS: Final = 100_000

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Grid(Spec):
    """Axes; every combination of their values is a point. What has no axis stays as the scenario has it."""

    load: tuple[Annotated[float, Field(gt=0, le=1e4)], ...] = Field(
        (), description="Multiples of the scenario's request rate; 2 is twice the traffic."
    )
    adapters: tuple[Annotated[int, Field(ge=0, le=100_000)], ...] = Field(
        (), description="Numbers of adapters; for a scenario that gives them by number."
    )
    ranks: tuple[Rank, ...] = Field((), description="One rank for all adapters, in place of rank or ranks.")
    devices: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Devices, each alone at its points."
    )
    ways: tuple[Way, ...] = Field((), description="Ways to serve, each alone at its points.")
    tensor_parallel: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (), description="Devices a replica, each alone at its points."
    )
    replicas: tuple[Count, ...] = Field((), description="Replicas of a pool; asks `simulate` only.")
    max_loras: tuple[Count, ...] = Field((), description="Adapter slots a replica.")
    seeds: tuple[Annotated[int, Field(ge=0, le=2**63 - 1)], ...] = Field(
        (), description="Seeds in place of the scenario's: the same question, drawn anew."
    )

    @model_validator(mode="after")
    def _sound(self) -> Grid:
        axes = self.axes
        if not axes:
            raise ValueError("a grid needs one axis at least, such as load: [0.5, 1, 2]")
        for name, values in axes.items():
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one value twice")
        points = math.prod(len(values) for values in axes.values())
        if points > MOST_POINTS:
            raise ValueError(f"the grid has {points:,} points; at most {MOST_POINTS:,} are allowed")
        return self

    @property
    def axes(self) -> dict[str, tuple[float | int | str, ...]]:
        """The axes that are given, in the order of the fields."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: values for name, values in given.items() if values}


class Study(Spec):
    """A scenario asked again and again."""

    schema_version: Literal[1] = Field(description="Write `schema_version: 1`.")
    name: str = Field("study", min_length=1, max_length=200, description="Shown in the summary.")
    scenario: str = Field(min_length=1, description="The scenario file, relative to this file.")
    ask: Literal["simulate", "recommend"] = Field(
        "simulate",
        description="simulate: one deployment, the `choice`; recommend: the whole search at every point.",
    )
    choice: Choice | None = Field(
        None, description="The deployment to simulate; the grid's values replace its own."
    )
    grid: Grid = Field(description="What is varied.")

    @model_validator(mode="after")
    def _fitting(self) -> Study:
        if self.ask == "simulate" and self.choice is None:
            raise ValueError("ask 'simulate' needs a choice, such as {way: multi-lora, device: H100-80-SXM}")
        if self.ask == "recommend" and self.choice is not None:
            raise ValueError("ask 'recommend' takes no choice: the search chooses")
        if self.ask == "recommend" and self.grid.replicas:
            raise ValueError("ask 'recommend' takes no replicas in the grid: the search sizes them")
        return self


def load_study(path: str | Path) -> Study:
    """Read a study file ("-" reads standard input).

    Raises:
        InputError: with every problem of the file.
    """
    text, source = read_source(path)
    raw = parse_mapping(text, source)
    check_schema_version(raw, SCHEMA_VERSION, source)
    return validated(Study, raw, source)


def scenario_place(study: Study, path: str) -> Path:
    """The scenario file that a study file at `path` names.

    Raises:
        InputError: the study names itself.
    """
    place = (Path() if path == "-" else Path(path).parent) / Path(study.scenario).expanduser()
    if path != "-" and place.resolve() == Path(path).resolve():
        raise InputError(f"{path}: scenario names the study itself; allowed: a scenario file.")
    return place
