"""The whole question of a user: one YAML file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from advisor.errors import InputError, validated
from advisor.fieldpath import path_text
from advisor.files import check_schema_version
from advisor.problem import Problem
from advisor.spec.adapter import AdapterFolders, Adapters, TracePopularity
from advisor.spec.autoscaling import Autoscaling
from advisor.spec.device import Device
from advisor.spec.engine import EngineWish
from advisor.spec.objective import Objective
from advisor.spec.price import PriceWish
from advisor.spec.serverless import Serverless
from advisor.spec.spec import Spec
from advisor.spec.speculation import Speculation
from advisor.spec.workload import Generator, Workload
from advisor.spec.yamlfile import lines_of, parse_mapping, read_source, write_mapping

SCHEMA_VERSION = 1

Way = Literal["base", "multi-lora", "merged", "hybrid"]
Router = Literal["least-outstanding", "adapter-affinity", "round-robin"]


class Search(Spec):
    """How far to look, and with how much traffic."""

    ways: tuple[Way, ...] = Field(
        ("base", "multi-lora", "merged", "hybrid"),
        min_length=1,
        description=(
            "Ways to serve that are looked at; base is the reference without adapters, hybrid merges the "
            "hottest adapters and serves the rest from one pool."
        ),
    )
    tensor_parallel: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1,), min_length=1, description="Devices that one replica may be spread over, such as [1, 2, 4]."
    )
    max_replicas: int = Field(64, ge=1, le=10_000, description="No option grows beyond this many replicas.")
    requests: int = Field(2000, ge=100, le=10_000_000, description="Requests of one simulated trial.")
    routers: tuple[Router, ...] = Field(
        ("least-outstanding", "adapter-affinity"),
        min_length=1,
        description=(
            "Rules by which replicas of a multi-LoRA pool may share requests. The first is used unless "
            "another saves a replica or meets a limit; adapter-affinity keeps an adapter on one replica."
        ),
    )
    also_fp8: bool = Field(
        False,
        description=(
            "Also try 16-bit weights quantised to fp8 by the engine at its start, where a device has the "
            "kernels. What that does to answers is yours to judge."
        ),
    )
    draws: int = Field(
        4, ge=0, le=100, description="Other draws of the workload on which the best option is run; 0: none."
    )


def _form(value: object) -> str:
    """Tell the two forms of `adapters` apart, so that a fault is said about the form that was meant."""
    by_folder = "paths" in value if isinstance(value, dict) else isinstance(value, AdapterFolders)
    return AdapterFolders.__name__ if by_folder else Adapters.__name__


AnyAdapters = Annotated[
    Annotated[Adapters, Tag("Adapters")] | Annotated[AdapterFolders, Tag("AdapterFolders")],
    Discriminator(_form),
]


class Scenario(Spec):
    """Model, adapters, traffic, target, and what may be rented."""

    schema_version: Literal[1] = Field(description="Write `schema_version: 1`.")
    name: str = Field("scenario", min_length=1, max_length=200, description="Shown in reports.")
    model: str = Field(min_length=1, description="A catalog name, or a path to a Hugging Face config.json.")
    adapters: AnyAdapters = Field(description="By number (count, rank, ...), or by PEFT folders (paths).")
    workload: Workload = Field(
        description="The traffic: a trace, a generator, streams, or a fitted workload."
    )
    objective: Objective = Field(
        Objective(), description="What must hold; nothing but the price if left out."
    )
    engine: EngineWish = Field(
        EngineWish(), description="The serving engine, and knobs that must not be searched."
    )
    speculation: Speculation = Field(Speculation(), description="Speculative decoding that may be tried.")
    devices: tuple[str, ...] = Field(
        (), description="Catalog names that may be used; every profiled one if empty."
    )
    own_devices: tuple[Device, ...] = Field((), description="Devices that the catalog lacks.")
    autoscaling: Autoscaling | None = Field(
        None, description="Fleets that scale with the load may be advised; left out: fixed ones alone."
    )
    serverless: Serverless | None = Field(
        None,
        description="Tokens bought from a provider are simulated too, on a stand-in; left out: only priced.",
    )
    prices: PriceWish = Field(PriceWish(), description="Which prices count, and your own.")
    search: Search = Field(Search(), description="How far to look.")
    seed: int = Field(
        0, ge=0, le=2**63 - 1, description="The same seed gives the same answer, to the last byte."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if isinstance(self.adapters.popularity, TracePopularity) and isinstance(self.workload, Generator):
            raise ValueError(
                "popularity 'trace' needs a workload that names adapters: trace, streams or fitted"
            )
        names = (*self.devices, *(device.name for device in self.own_devices))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"devices and own_devices name {twice[0]} twice")
        return self


def load_scenario(path: str | Path) -> Scenario:
    """Read a scenario file ("-" reads standard input).

    Raises:
        InputError: with every problem of the file, each with its line.
    """
    return scenario_from_text(*read_source(path))


def scenario_from_text(text: str, source: str) -> Scenario:
    """Read a scenario from YAML text, such as an editor's; `source` names it in messages.

    Raises:
        InputError: with every problem of the text, each with its line.
    """
    raw = parse_mapping(text, source)
    try:
        return scenario_from_mapping(raw, source)
    except InputError as error:
        raise InputError(_with_lines(error.problems, text)) from None


def scenario_from_mapping(raw: dict[str, Any], source: str) -> Scenario:
    """Read a scenario from plain data, such as a web form's.

    Raises:
        InputError: with every problem at once; a newer schema version alone.
    """
    check_schema_version(raw, SCHEMA_VERSION, source)
    return validated(Scenario, raw, source)


def scenario_to_yaml(scenario: Scenario) -> str:
    """Write a scenario with human units; `load_scenario` reads an equal one back. Defaults are left out."""
    return write_mapping(scenario.model_dump(mode="json", exclude_defaults=True))


def _with_lines(problems: tuple[Problem, ...], text: str) -> list[Problem]:
    """Add the line of each problem's field, or of the nearest field around it."""
    lines = {path_text(path): line for path, line in lines_of(text).items() if path}

    def placed(problem: Problem) -> Problem:
        field = problem.field
        while field and field not in lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return replace(problem, source=f"{problem.source}: line {lines[field]}") if field else problem

    return [placed(problem) for problem in problems]
